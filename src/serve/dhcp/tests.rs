use proptest::prelude::*;

use super::answer::{Asker, Decision, Loaders, Mode, Site, Target, decide};
use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 71);

fn site(mode: Mode) -> Site {
    Site {
        mode,
        server: SERVER,
        subnet: "10.77.0.0/24".parse().unwrap(),
        gateway: Some([10, 77, 0, 254].into()),
        dns: vec![[10, 77, 0, 2].into(), [10, 77, 0, 3].into()],
        loaders: Loaders {
            tftp: true,
            bios: Some("pxelinux.0".into()),
            uefi: Some("shimx64.efi".into()),
            uefi_http: Some("shimx64.efi".into()),
            url: "http://10.77.0.1/kiln/".into(),
            ipxe: "boot.ipxe".into(),
        },
    }
}

fn known(boots: bool) -> Asker {
    Asker { node: Some("k8s-master1".into()), address: Some(NODE), boots }
}

/// A request as firmware sends it.
fn asks(kind: Kind, arch: Option<u16>) -> Packet {
    let mac: Mac = "52:54:00:77:00:11".parse().unwrap();
    let mut packet = Packet {
        request: true,
        id: 0x1234_5678,
        seconds: 4,
        broadcast: true,
        client: Ipv4Addr::UNSPECIFIED,
        yours: Ipv4Addr::UNSPECIFIED,
        next: Ipv4Addr::UNSPECIFIED,
        relay: Ipv4Addr::UNSPECIFIED,
        mac,
        file: Vec::new(),
        options: vec![(option::KIND, vec![kind.number()])],
    };
    if let Some(arch) = arch {
        let class = if arch == 16 { "HTTPClient:Arch:00016" } else { "PXEClient:Arch:00007:UNDI:003000" };
        packet.add(option::CLASS, class.as_bytes());
        packet.add(option::ARCH, arch.to_be_bytes());
        let uuid: Vec<u8> = (0..17).collect();
        packet.add(option::UUID, uuid);
    }
    packet
}

fn sent(decision: Decision) -> (Packet, Target) {
    match decision {
        Decision::Send(packet, target) => (Packet::parse(&packet.to_bytes()).unwrap(), target),
        Decision::Silent(why) => panic!("silent: {why}"),
    }
}

fn silent(decision: Decision) -> &'static str {
    match decision {
        Decision::Silent(why) => why,
        Decision::Send(packet, _) => panic!("sent {packet:?}"),
    }
}

#[test]
fn beside_another_server_kiln_offers_a_boot_file_and_no_address() {
    for (arch, file, class) in [
        (0, "pxelinux.0", "PXEClient"),
        (7, "shimx64.efi", "PXEClient"),
        (9, "shimx64.efi", "PXEClient"),
        (16, "http://10.77.0.1/kiln/shimx64.efi", "HTTPClient"),
    ] {
        let asked = asks(Kind::Discover, Some(arch));
        let (offer, target) = sent(decide(&site(Mode::Proxy), &known(true), &asked));
        assert_eq!(target, Target::Broadcast);
        assert_eq!((offer.kind(), offer.id, offer.mac), (Some(Kind::Offer), asked.id, asked.mac));
        assert!(!offer.request && offer.yours.is_unspecified() && offer.next == SERVER);
        assert_eq!(
            (offer.file.as_slice(), offer.option(option::BOOT_FILE)),
            (file.as_bytes(), Some(file.as_bytes()))
        );
        assert_eq!(offer.option(option::CLASS), Some(class.as_bytes()));
        assert_eq!(offer.option(option::UUID), asked.option(option::UUID));
        assert_eq!(offer.address(option::SERVER), Some(SERVER));
        let vendor = offer.option(option::VENDOR);
        assert_eq!(vendor.is_some(), arch != 16);
        assert!(vendor.is_none_or(|value| value == [6, 1, 8, 255]));
        assert_eq!(offer.option(option::LEASE), None);
        silent(decide(&site(Mode::Proxy), &known(true), &asks(Kind::Request, Some(arch))));
    }
    let mut ipxe = asks(Kind::Discover, Some(0));
    ipxe.add(option::USER_CLASS, *b"iPXE");
    let (offer, _) = sent(decide(&site(Mode::Proxy), &known(true), &ipxe));
    assert_eq!(offer.file, b"http://10.77.0.1/kiln/boot.ipxe");
}

#[test]
fn without_tftp_nobody_is_sent_there() {
    let mut site = site(Mode::Proxy);
    site.loaders.tftp = false;
    for arch in [0, 7, 9] {
        let why = silent(decide(&site, &known(true), &asks(Kind::Discover, Some(arch))));
        assert!(why.contains("no boot file"), "{why}");
    }
    let (offer, _) = sent(decide(&site, &known(true), &asks(Kind::Discover, Some(16))));
    assert_eq!(offer.file, b"http://10.77.0.1/kiln/shimx64.efi");
}

/// A firmware that has its GRUB by HTTP and is left there would stop at GRUB's prompt: it is offered nothing, and tries its next way.
#[test]
fn http_boot_is_not_offered_where_grub_cannot_go_on() {
    for mode in [Mode::Proxy, Mode::Own] {
        let mut site = site(mode);
        site.loaders.uefi_http = None;
        match decide(&site, &known(true), &asks(Kind::Discover, Some(16))) {
            Decision::Silent(why) => assert!(mode == Mode::Proxy && why.contains("no boot file"), "{why}"),
            Decision::Send(offer, _) => assert!(mode == Mode::Own && offer.file.is_empty(), "{offer:?}"),
        }
        let (offer, _) = sent(decide(&site, &known(true), &asks(Kind::Discover, Some(7))));
        assert_eq!(offer.file, b"shimx64.efi");
    }
}

#[test]
fn strangers_and_installed_machines_boot_their_disks() {
    for mode in [Mode::Proxy, Mode::Own] {
        let why = silent(decide(&site(mode), &Asker::default(), &asks(Kind::Discover, Some(7))));
        assert!(why.contains("no machine of the cluster"), "{why}");
    }
    let why = silent(decide(&site(Mode::Proxy), &known(false), &asks(Kind::Discover, Some(7))));
    assert!(why.contains("boot its disk"), "{why}");
    // It still needs an address, and is told of no boot file.
    let (offer, _) = sent(decide(&site(Mode::Own), &known(false), &asks(Kind::Discover, Some(7))));
    assert_eq!((offer.yours, offer.file.len(), offer.option(option::BOOT_FILE)), (NODE, 0, None));
    assert_eq!(offer.option(option::CLASS), None);
    silent(decide(&site(Mode::Proxy), &known(true), &asks(Kind::Discover, None)));
    silent(decide(&site(Mode::Proxy), &known(true), &asks(Kind::Discover, Some(11))));
    silent(decide(&site(Mode::Off), &known(true), &asks(Kind::Discover, Some(7))));
}

#[test]
fn alone_kiln_gives_nodes_their_addresses() {
    let site = site(Mode::Own);
    let (offer, _) = sent(decide(&site, &known(true), &asks(Kind::Discover, None)));
    assert_eq!((offer.kind(), offer.yours), (Some(Kind::Offer), NODE));
    assert_eq!(offer.address(option::MASK), Some([255, 255, 255, 0].into()));
    assert_eq!(offer.address(option::ROUTER), site.gateway);
    assert_eq!(offer.option(option::DNS), Some([10, 77, 0, 2, 10, 77, 0, 3].as_slice()));
    assert_eq!(offer.option(option::HOST_NAME), Some(b"k8s-master1".as_slice()));
    assert_eq!(offer.option(option::BOOT_FILE), None);

    let mut takes = asks(Kind::Request, Some(7));
    takes.add(option::SERVER, SERVER.octets());
    takes.add(option::REQUESTED, NODE.octets());
    let (ack, _) = sent(decide(&site, &known(true), &takes));
    assert_eq!(
        (ack.kind(), ack.yours, ack.file.as_slice()),
        (Some(Kind::Ack), NODE, b"shimx64.efi".as_slice())
    );

    let mut renews = asks(Kind::Request, None);
    renews.client = NODE;
    let (ack, target) = sent(decide(&site, &known(true), &renews));
    assert_eq!((ack.kind(), target), (Some(Kind::Ack), Target::Client(NODE)));

    let mut wrong = asks(Kind::Request, None);
    wrong.add(option::REQUESTED, [10, 77, 0, 99]);
    let (nak, target) = sent(decide(&site, &known(true), &wrong));
    assert_eq!((nak.kind(), nak.yours, target), (Some(Kind::Nak), Ipv4Addr::UNSPECIFIED, Target::Broadcast));

    let mut elsewhere = asks(Kind::Request, None);
    elsewhere.add(option::SERVER, [10, 77, 0, 9]);
    assert!(silent(decide(&site, &known(true), &elsewhere)).contains("another server"));

    let mut relayed = asks(Kind::Discover, None);
    relayed.relay = [10, 78, 0, 1].into();
    assert_eq!(sent(decide(&site, &known(true), &relayed)).1, Target::Relay([10, 78, 0, 1].into()));

    let mut informs = asks(Kind::Inform, None);
    informs.client = NODE;
    let (ack, _) = sent(decide(&site, &known(true), &informs));
    assert_eq!((ack.yours, ack.client, ack.option(option::LEASE)), (Ipv4Addr::UNSPECIFIED, NODE, None));
}

#[test]
fn a_uuid_is_in_the_order_that_linux_prints() {
    let packet = asks(Kind::Discover, Some(7));
    assert_eq!(packet.uuid().unwrap(), "04030201-0605-0807-090a-0b0c0d0e0f10");
}

#[test]
fn what_is_no_request_is_no_packet() {
    let good = asks(Kind::Discover, Some(7)).to_bytes();
    assert!(Packet::parse(&good).is_some() && good.len() >= 300);
    for (at, value) in [(0, 3), (1, 6), (2, 16), (236, 0)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(Packet::parse(&bad), None, "{at}");
    }
    for cut in 0..FIXED {
        assert_eq!(Packet::parse(&good[..cut]), None);
    }
    let mut endless = good[..FIXED].to_vec();
    endless.extend([43, 200, 1]);
    assert_eq!(Packet::parse(&endless), None);
}

#[test]
fn options_may_lie_in_the_file_too() {
    let mut bytes = asks(Kind::Discover, None).to_bytes();
    bytes.truncate(FIXED);
    bytes.extend([option::OVERLOAD, 1, 1, option::END]);
    put(&mut bytes, FILE.start, &[option::KIND, 1, 1, option::END]);
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!((packet.kind(), packet.file.len()), (Some(Kind::Discover), 0));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Packet::parse(&bytes);
        // As far as the options.
        put(&mut bytes, 0, &[1, 1, 6]);
        put(&mut bytes, 28, &[0x52, 0x54, 0, 0, 0, 1]);
        put(&mut bytes, 236, &COOKIE);
        if let Some(packet) = Packet::parse(&bytes) {
            for mode in [Mode::Proxy, Mode::Own] {
                if let Decision::Send(answer, _) = decide(&site(mode), &known(true), &packet) {
                    prop_assert!(Packet::parse(&answer.to_bytes()).is_some());
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        id: u32, client: [u8; 4], broadcast: bool,
        options in proptest::collection::btree_map(1_u8..250, proptest::collection::vec(any::<u8>(), 0..600), 0..8),
    ) {
        let mut packet = asks(Kind::Discover, None);
        (packet.id, packet.client, packet.broadcast) = (id, client.into(), broadcast);
        packet.file = b"x".to_vec();
        packet.options = options.into_iter().filter(|(code, _)| *code != option::OVERLOAD).collect();
        prop_assert_eq!(Packet::parse(&packet.to_bytes()).unwrap(), packet);
    }
}
