use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Parsed::Request(request, len) => {
            assert_eq!(len, text.len());
            *request
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refused(text: &str) -> u16 {
    match parse(text.as_bytes()) {
        Parsed::Refused(status) => status,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn what_loaders_send_is_read() {
    let request =
        read("GET //grubx64.efi HTTP/1.1\r\nHost: 10.0.0.5\r\nUser-Agent: UefiHttpBoot/1.0\r\n\r\n");
    assert_eq!((request.method, request.path.as_str(), request.keep), (Method::Get, "//grubx64.efi", true));
    let request = read("HEAD /a%20b%2f..?x=%31 HTTP/1.0\r\n\r\n");
    assert_eq!((request.method, request.keep), (Method::Head, false));
    assert_eq!((request.path.as_str(), request.query.as_str()), ("/a b/..", "x=1"));
    let request = read(
        "\r\nGET http://h:80/x HTTP/1.1\r\nconnection: Close\r\nRange: bytes=5-\r\nIf-Range: \"t\"\r\n\r\n",
    );
    assert_eq!((request.path.as_str(), request.keep, request.range), ("/x", false, Range::From(5, None)));
    assert_eq!(request.if_range.as_deref(), Some("\"t\""));
    let request = read("POST /report HTTP/1.1\r\nContent-Length: 12\r\n\r\n");
    assert_eq!((request.method, request.body), (Method::Post, 12));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, status) in [
        ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        ("DELETE / HTTP/1.1\r\n\r\n", 405),
        ("GET / HTTP/2.0\r\n\r\n", 505),
        ("GET  / HTTP/1.1\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\n\r\n", 400),
        ("GET /%ff HTTP/1.1\r\n\r\n", 400),
        ("GET x HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno header\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\na b: c\r\n\r\n", 400),
    ] {
        assert_eq!(refused(text), status, "{text:?}");
    }
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n"), Parsed::More);
    assert_eq!(parse(&[b'a'; MAX_HEAD + 1]), Parsed::Refused(431));
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65))), 431);
}

#[test]
fn ranges_are_what_rfc_9110_says() {
    for (text, size, want) in [
        ("bytes=0-", 10, Some((0, 10))),
        ("bytes=3-5", 10, Some((3, 3))),
        ("bytes=3-99", 10, Some((3, 7))),
        ("bytes=-4", 10, Some((6, 4))),
        ("bytes=-40", 10, Some((0, 10))),
        ("bytes=10-", 10, None),
        ("bytes=-0", 10, None),
        ("bytes=-5", 0, None),
        ("bytes=0-18446744073709551615", 10, Some((0, 10))),
        // As if nothing was said.
        ("bytes=5-3", 10, Some((0, 10))),
        ("bytes=0-1,3-4", 10, Some((0, 10))),
        ("lines=0-1", 10, Some((0, 10))),
        ("bytes=+1-2", 10, Some((0, 10))),
    ] {
        assert_eq!(Range::parse(text).resolve(size), want, "{text}");
    }
}

#[test]
fn a_head_is_written() {
    let head = Head { status: 206, kind: "text/plain", len: 3, keep: true, more: vec![("A", "b".into())] };
    let text = String::from_utf8(head.to_bytes()).unwrap();
    assert!(text.starts_with("HTTP/1.1 206 Partial Content\r\n") && text.ends_with("A: b\r\n\r\n"), "{text}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
        let mut line = b"GET /".to_vec();
        line.extend(&bytes);
        line.extend(b" HTTP/1.1\r\n\r\n");
        if let Parsed::Request(request, len) = parse(&line) {
            prop_assert!(len <= line.len() && request.path.starts_with('/'));
        }
    }

    #[test]
    fn a_range_stays_within_the_file(text in "bytes=[0-9]{0,20}-[0-9]{0,20}", size: u64) {
        if let Some((from, len)) = Range::parse(&text).resolve(size) {
            prop_assert!(from.checked_add(len).is_some_and(|end| end <= size));
        }
    }
}
