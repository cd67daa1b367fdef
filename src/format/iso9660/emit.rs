//! Writes a planned tree: directories, path tables and continuation areas, as one run of blocks. The vendor's records come
//! out as they went in, but for the blocks of directories, replaced files, moved directories (`CL`, `PL`), and the link
//! counts of directories that grew.

use crate::error::{Error, Result};
use crate::format::bytes::{put, put_both32};

use super::SECTOR;
use super::plan::{Dir, Item, TreePlan};
use super::record::Record;
use super::rock::NewRecord;
use super::susp::{Place, RockRidge};
use super::tree::{Extent, Node, NodeId};

/// A written tree.
#[derive(Debug, Default)]
pub struct Emitted {
    /// Its blocks.
    pub bytes: Vec<u8>,
    /// Root directory: block and length.
    pub root: (u32, u32),
    /// Bytes of a path table, blocks of its little-endian and big-endian copies.
    pub path_table: (u32, u32, u32),
    /// What must be changed in place in the base: byte of the view, and bytes.
    pub patches: Vec<(u64, Vec<u8>)>,
}

/// Where the content of files lies, in blocks of the view.
pub trait Content {
    /// Parts of the new file with this number.
    fn new_file(&self, number: usize) -> Vec<Extent>;
    /// Parts of the vendor's file at `path`, whose content was replaced.
    fn replaced(&self, path: &str) -> Vec<Extent>;
}

/// Places of directories, and state of writing.
struct Emit<'a, 'p> {
    plan: &'p TreePlan<'a>,
    content: &'p dyn Content,
    place: Vec<Extent>,
    more_block: u32,
    more: Vec<u8>,
    out: Emitted,
}

/// Records to be packed into sectors; lengths only count for measuring.
#[derive(Default)]
struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    /// A record may not cross the end of a sector (ECMA-119 6.8.1.1).
    fn push(&mut self, raw: &[u8]) {
        let sector = SECTOR as usize;
        let used = self.bytes.len() % sector;
        if used + raw.len() > sector {
            self.bytes.resize(self.bytes.len() + sector - used, 0);
        }
        self.bytes.extend_from_slice(raw);
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR as usize), 0);
        self.bytes
    }
}

impl TreePlan<'_> {
    /// Writes the tree for a place at block `at` of its view.
    ///
    /// # Errors
    /// Only when the tree is too large for its format.
    pub fn emit(&self, at: u32, content: &dyn Content) -> Result<Emitted> {
        let order = self.in_order();
        // Path tables number directories, and name parents, in 16 bits (ECMA-119 9.4.4).
        if order.len() > usize::from(u16::MAX) {
            return Err(Error::input(format!(
                "the medium would have {} directories, over 65535",
                order.len()
            )));
        }
        let mut emit = Emit {
            plan: self,
            content,
            place: vec![Extent { block: 0, len: 0 }; self.dirs.len()],
            more_block: 0,
            more: Vec::new(),
            out: Emitted::default(),
        };
        // Lengths do not depend on places, so a first pass measures and a second one writes.
        let mut next = at;
        for dir in &order {
            let bytes = emit.directory(*dir)?;
            let len = u32::try_from(bytes.len()).map_err(|_| Error::input("a directory is too large"))?;
            emit.place[*dir] = Extent { block: next, len };
            next = block_after(next, u64::from(len))?;
        }
        emit.more_block = next;
        let more = std::mem::take(&mut emit.more);
        next = block_after(next, more.len() as u64)?;
        emit.out.patches.clear();
        for dir in &order {
            let bytes = emit.directory(*dir)?;
            emit.out.bytes.extend(bytes);
        }
        let more = std::mem::take(&mut emit.more);
        let mut out = emit.out;
        push_blocks(&mut out.bytes, &more);
        let place = emit.place;
        let table = |big| self.path_table(&order, &place, big);
        let (little, big) = (table(false), table(true));
        let len = little.len() as u32;
        let blocks = block_after(next, little.len() as u64)?;
        out.path_table = (len, next, blocks);
        push_blocks(&mut out.bytes, &little);
        push_blocks(&mut out.bytes, &big);
        out.root = (place[0].block, place[0].len);
        Ok(out)
    }

    /// Path table (ECMA-119 9.4) in one byte order.
    fn path_table(&self, order: &[usize], place: &[Extent], big: bool) -> Vec<u8> {
        let mut number = vec![1_u16; self.dirs.len()];
        for (i, dir) in order.iter().enumerate() {
            number[*dir] = u16::try_from(i + 1).unwrap_or(u16::MAX);
        }
        let mut table = Vec::new();
        for dir in order {
            let Dir { id, parent, .. } = &self.dirs[*dir];
            let (block, parent) = (place[*dir].block, number[*parent]);
            table.extend_from_slice(&[id.len() as u8, 0]);
            if big {
                table.extend_from_slice(&block.to_be_bytes());
                table.extend_from_slice(&parent.to_be_bytes());
            } else {
                table.extend_from_slice(&block.to_le_bytes());
                table.extend_from_slice(&parent.to_le_bytes());
            }
            table.extend_from_slice(id);
            table.resize(table.len().next_multiple_of(2), 0);
        }
        table
    }
}

impl Emit<'_, '_> {
    fn directory(&mut self, number: usize) -> Result<Vec<u8>> {
        let dir = &self.plan.dirs[number];
        let mut packer = Packer::default();
        self.dots(number, dir, &mut packer)?;
        for item in &dir.items {
            match item {
                Item::Vendor(id) => self.vendor(*id, &mut packer),
                Item::File(file, records) => {
                    for (record, extent) in records.iter().zip(self.content.new_file(*file)) {
                        self.push_new(record, extent, &mut packer);
                    }
                }
                Item::Dir(sub) => {
                    if let Some(own) = &self.plan.dirs[*sub].own {
                        self.push_new(&own[0], self.place[*sub], &mut packer);
                    }
                }
            }
        }
        Ok(packer.finish())
    }

    fn dots(&mut self, number: usize, dir: &Dir, packer: &mut Packer) -> Result<()> {
        let (own, above) = (self.place[number], self.place[dir.parent]);
        if let Some(new) = &dir.own {
            self.push_new(&new[1], own, packer);
            self.push_new(&new[2], above, packer);
            return Ok(());
        }
        let node = dir.vendor.map(|id| self.plan.tree.node(id));
        let dots = node.and_then(|node| node.dots.as_deref());
        let [(dot, dot_rock), (dotdot, dotdot_rock)] =
            dots.ok_or_else(|| Error::internal("a directory was planned without its own records"))?;
        let mut dot = dot.clone();
        dot.set_extent(own.block, own.len);
        self.grow(&mut dot, dot_rock, dir.grown);
        packer.push(dot.raw());
        let mut dotdot = dotdot.clone();
        dotdot.set_extent(above.block, above.len);
        if let Some((block, place)) = dotdot_rock.parent {
            // A moved directory: `..` is where it lies, `PL` where it belongs.
            let real = self.dir_at(block);
            self.set(&mut dotdot, place, 4, real.block);
        }
        self.grow(&mut dotdot, dotdot_rock, self.plan.dirs[dir.parent].grown);
        packer.push(dotdot.raw());
        Ok(())
    }

    fn vendor(&mut self, id: NodeId, packer: &mut Packer) {
        let plan = self.plan;
        let node = plan.tree.node(id);
        if let Some(path) = plan.replaced.get(&id) {
            return self.replace(node, &self.content.replaced(path), packer);
        }
        let dir = plan.by_node.get(&id).copied();
        for record in &node.records {
            let mut record = record.clone();
            if let Some(dir) = dir {
                record.set_extent(self.place[dir].block, self.place[dir].len);
                self.grow(&mut record, &node.rock, plan.dirs[dir].grown);
            }
            if let Some((block, place)) = node.rock.child {
                let moved = self.dir_at(block);
                self.set(&mut record, place, 4, moved.block);
                // Makers let the placeholder's own extent point there, too.
                if record.lba() == block {
                    record.set_extent(moved.block, record.len());
                }
            }
            packer.push(record.raw());
        }
    }

    fn replace(&self, node: &Node, extents: &[Extent], packer: &mut Packer) {
        for (i, extent) in extents.iter().enumerate() {
            let mut record = node.records[0].clone();
            let goes_on = if i + 1 < extents.len() { 0x80 } else { 0 };
            let flags = record.flags() & !0x80 | goes_on;
            put(record.raw_mut(), 25, &[flags]);
            put(record.raw_mut(), 1, &[0]); // no extended attribute record before the new content
            record.set_extent(extent.block, extent.len);
            packer.push(record.raw());
        }
    }

    /// Adds to the link count in `PX`.
    fn grow(&mut self, record: &mut Record, rock: &RockRidge, by: u32) {
        if let (1.., Some(posix), Some(place)) = (by, rock.posix, rock.px_at) {
            self.set(record, place, 12, posix.links.saturating_add(by));
        }
    }

    /// Sets a number of the SUSP entry at `place`.
    fn set(&mut self, record: &mut Record, place: Place, offset: usize, value: u32) {
        match place {
            Place::Record(at) => put_both32(record.raw_mut(), at + offset, value),
            Place::Image(at) => {
                let mut bytes = vec![0; 8];
                put_both32(&mut bytes, 0, value);
                self.out.patches.push((at + offset as u64, bytes));
            }
        }
    }

    /// New place of the vendor's directory at `block`.
    fn dir_at(&self, block: u32) -> Extent {
        let dir = self.plan.tree.by_block.get(&block).and_then(|id| self.plan.by_node.get(id));
        self.place[dir.copied().unwrap_or(0)]
    }

    fn push_new(&mut self, new: &NewRecord, extent: Extent, packer: &mut Packer) {
        let mut raw = new.raw.clone();
        put_both32(&mut raw, 2, extent.block);
        put_both32(&mut raw, 10, extent.len);
        if let Some(ce) = new.ce_at {
            // A continuation area may not cross a block (P1281 5.1).
            let sector = SECTOR as usize;
            if self.more.len() % sector + new.more.len() > sector {
                self.more.resize(self.more.len().next_multiple_of(sector), 0);
            }
            put_both32(&mut raw, ce + 4, self.more_block + (self.more.len() / sector) as u32);
            put_both32(&mut raw, ce + 12, (self.more.len() % sector) as u32);
            put_both32(&mut raw, ce + 20, new.more.len() as u32);
            self.more.extend_from_slice(&new.more);
        }
        packer.push(&raw);
    }
}

fn push_blocks(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(SECTOR as usize), 0);
}

fn block_after(block: u32, len: u64) -> Result<u32> {
    let next = u64::from(block) + super::sectors(len);
    u32::try_from(next).map_err(|_| Error::input("the medium would be larger than 8 TiB"))
}
