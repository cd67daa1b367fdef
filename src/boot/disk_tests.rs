use super::*;

#[test]
fn sizes_count_by_1024() {
    assert_eq!(size("20G"), Ok(20 << 30));
    assert_eq!(size("3T"), Ok(3 << 40));
    assert_eq!(size("512M"), Ok(512 << 20));
    for bad in ["", "G", "20", "20g", "0G", "-1G", "1.5T", "65T", "99999999999999999999T", "20é"] {
        assert!(size(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_disk_is_read_from_one_word() {
    let disk: Disk =
        "20G,bus=nvme,serial=S1,wwn=0x5000c50015ea71ac,sector=4096,file=/d,format=qcow2,unchanged"
            .parse()
            .unwrap();
    let expected = Disk {
        size: Some(20 << 30),
        file: Some("/d".into()),
        format: Some(Format::Qcow2),
        bus: Bus::Nvme,
        serial: Some("S1".into()),
        wwn: Some(0x5000_c500_15ea_71ac),
        sector: Some(4096),
        read_only: false,
        unchanged: true,
    };
    assert_eq!(disk, expected);
    assert_eq!("20G".parse::<Disk>().unwrap(), Disk::blank(20 << 30));
    assert!("file=/d,ro".parse::<Disk>().unwrap().read_only);
}

#[test]
fn what_no_disk_can_be_is_refused_with_its_rule() {
    for (text, words) in [
        ("", "no size"),
        ("bus=virtio", "needs a size"),
        ("20G,bus=ide", "virtio, sata"),
        ("20G,colour=red", "`colour`"),
        ("20G,30G", "`30G`"),
        ("20G,serial=123456789012345678901", "1 to 20"),
        ("20G,wwn=0x5000c50015ea71ac", "no WWN"),
        ("20G,bus=scsi,wwn=12", "16 hexadecimal"),
        ("20G,bus=sata,sector=4096", "SATA"),
        ("20G,sector=520", "520"),
        ("file=/d,bus=sata,ro", "read-only"),
    ] {
        let error = text.parse::<Disk>().unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_file_is_used_if_there_and_made_if_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disk.img");
    let given = Disk { file: Some(file.clone()), ..Disk::default() };
    assert_eq!(given.prepare(dir.path(), 1).unwrap_err().class().exit_code(), 2);
    let made = Disk { size: Some(3 << 40), ..given.clone() }.prepare(dir.path(), 1).unwrap();
    assert_eq!((made.format, std::fs::metadata(&file).unwrap().len()), (Format::Raw, 3 << 40));
    std::fs::write(&file, b"content").unwrap();
    given.prepare(dir.path(), 1).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"content");
    let folder = Disk { file: Some(dir.path().into()), read_only: true, ..Disk::default() };
    assert!(folder.prepare(dir.path(), 1).is_err());
    let blank = Disk::blank(1 << 30).prepare(dir.path(), 2).unwrap();
    assert_eq!(blank.format, Format::Qcow2);
    assert!(blank.path.ends_with("disk-2.qcow2"));
}
