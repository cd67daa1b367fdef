use super::super::record::State;
use super::*;
use crate::digest::Sha256;
use crate::testing::Fake;

/// A machine whose `/` begins at that sector of its disk.
fn machine(start: u64) -> Fake {
    let fake = Fake::new();
    fake.system(start);
    fake
}

fn disk(fake: &Fake) -> File {
    File::options().read(true).write(true).open(fake.root().join("dev/vda")).unwrap()
}

fn record(table: TableId) -> Record {
    Record {
        cluster: "prod".parse().unwrap(),
        authority: Sha256::of(b"ca"),
        node: "k8s-node1".parse().unwrap(),
        folder: "/".into(),
        label: "KILN-PROD-WORKER-0000".into(),
        build_id: Sha256::of(b"build"),
        state: State::Complete { table },
    }
}

fn mark(fake: &Fake) -> Result<()> {
    SystemDisk::find(fake.root()).unwrap().mark(fake.root(), |table| Ok(record(table)))
}

#[test]
fn the_systems_disk_is_that_of_its_partition() {
    let fake = machine(2048);
    assert_eq!(SystemDisk::find(fake.root()).unwrap().name, "vda");
    fake.put("proc/self/mountinfo", "1 0 0:20 / / rw - overlay overlay rw\n");
    assert!(SystemDisk::find(fake.root()).is_err());
}

#[test]
fn a_record_is_written_into_the_gap_and_replaced() {
    let fake = machine(2048);
    let before = fs::read(fake.root().join("dev/vda")).unwrap();
    for _ in 0..2 {
        mark(&fake).unwrap();
        let read = Record::read(&disk(&fake)).unwrap();
        let State::Complete { table } = &read.state else { panic!("it is complete") };
        assert_eq!(Some(table), TableId::read(&disk(&fake)).as_ref());
        assert_eq!(read, record(table.clone()));
    }
    let after = fs::read(fake.root().join("dev/vda")).unwrap();
    let changed = |at: &usize| before[*at] != after[*at];
    let room = OFFSET as usize..OFFSET as usize + SIZE;
    assert!((0..after.len()).filter(changed).all(|at| room.contains(&at)), "nothing else has changed");
}

#[test]
fn where_there_is_no_room_nothing_is_written() {
    let refused = |fake: &Fake, why: &str| {
        let before = fs::read(fake.root().join("dev/vda")).unwrap();
        let error = mark(fake).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(fs::read(fake.root().join("dev/vda")).unwrap(), before);
    };
    // A partition from sector 63 on, as they were made once; one that ends just there has left room.
    refused(&machine(63), "a partition in its first MiB");
    let fake = machine(34);
    fake.put("sys/block/vda/vda1/size", &format!("{}\n", OFFSET / SYSFS_SECTOR - 34));
    mark(&fake).unwrap();
    fake.put("sys/block/vda/vda1/size", &format!("{}\n", OFFSET / SYSFS_SECTOR - 33));
    refused(&fake, "a partition in its first MiB");
    // A boot loader that is larger than any that is known.
    let fake = machine(2048);
    disk(&fake).write_all_at(b"code", OFFSET + 100).unwrap();
    refused(&fake, "holds something else");
    // A volume is no disk.
    let fake = machine(2048);
    fs::remove_file(fake.root().join("sys/block/vda/vda1/partition")).unwrap();
    refused(&fake, "has no partitions of which / is one");
    // A table that could be any.
    let fake = machine(2048);
    disk(&fake).write_all_at(&[0; 4], 440).unwrap();
    refused(&fake, "without an identifier");
    fake.put("sys/block/vda/vda1/start", "many\n");
    refused(&fake, "no number of sectors");
}
