//! Formats: one file or folder each, reader beside writer. None of them knows what kiln puts into it.

pub mod bytes;
pub mod cpio;
pub mod elf;
pub mod eltorito;
pub mod fat;
pub mod gpt;
pub mod grub_image;
pub mod guid;
pub mod iso9660;
pub mod isomd5;
pub mod mbr;
pub mod md5;
pub mod oci;
pub mod qcow2;
pub mod read_at;
pub mod repodata;
pub mod rpm;
pub mod tar;
