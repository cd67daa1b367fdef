use std::collections::VecDeque;

use proptest::prelude::*;

use super::transfer::{Step, Transfer};
use super::*;

fn request(words: &[&str]) -> Vec<u8> {
    let mut out = vec![0, 1];
    words.iter().for_each(|word| out.extend(format!("{word}\0").as_bytes()));
    out
}

#[test]
fn requests_are_read() {
    let bytes = request(&["/a/b", "octet", "tsize", "0", "BLKSIZE", "8192", "windowsize", "4", "x", "y"]);
    let parsed = Request::parse(&bytes).unwrap().unwrap();
    let want = Request { path: "/a/b".into(), block: Some(1468), window: Some(4), wait: None, size: true };
    assert_eq!(parsed, want);
    assert_eq!(parsed.granted(77).unwrap(), b"\0\x06blksize\x001468\0windowsize\x004\0tsize\x0077\0");
    let bare = Request::parse(&request(&["a", "OCTET"])).unwrap().unwrap();
    assert_eq!(bare.granted(77), None);
}

#[test]
fn what_is_not_served_is_refused() {
    let refused = |bytes: &[u8]| Request::parse(bytes).unwrap_err();
    assert_eq!(refused(&request(&["a", "netascii"])), Refusal::Illegal);
    assert_eq!(refused(&request(&["", "octet"])), Refusal::Illegal);
    assert_eq!(refused(b"\0\x01a\0octet"), Refusal::Illegal);
    assert_eq!(refused(b"\0\x01\xff\0octet\0"), Refusal::Illegal);
    assert_eq!(refused(b"\0\x02a\0octet\0"), Refusal::Denied);
    assert_eq!(Request::parse(b"\0\x04\0\x01"), Ok(None));
    assert_eq!(Request::parse(b""), Ok(None));
    assert_eq!(Request::parse(&vec![1; 5000]), Ok(None));
    assert_eq!(Refusal::NotFound.to_bytes(), b"\0\x05\0\x01no such file\0");
}

/// Plays a whole transfer over a link that loses packets as `lost` says; gives what the client has.
fn play(content: &[u8], asked: &Request, lost: &mut dyn FnMut() -> bool) -> Option<Vec<u8>> {
    let mut transfer = Transfer::new(asked, content.len() as u64);
    let window = u64::from(asked.window.unwrap_or(1));
    let mut got = Vec::new();
    // The client: blocks in order only; it acknowledges at the end of a window, or where it missed one.
    let (mut next, mut since) = (1_u64, 0_u64);
    let mut step = transfer.begin();
    for _ in 0..200_000 {
        let mut replies = VecDeque::new();
        match step {
            Step::Done => return Some(got),
            Step::Over => return None,
            Step::Wait => {}
            Step::Grant if !lost() => replies.push_back(Reply::Has(0)),
            Step::Grant => {}
            Step::Send { first, count } => {
                for number in first..first + count {
                    if lost() {
                        continue;
                    }
                    let from = ((number - 1) * transfer.block()) as usize;
                    let part = &content[from..content.len().min(from + transfer.block() as usize)];
                    if number as u16 == next as u16 {
                        got.extend(part);
                        (next, since) = (next + 1, since + 1);
                        if since == window || (part.len() as u64) < transfer.block() {
                            replies.push_back(Reply::Has((next - 1) as u16));
                            since = 0;
                        }
                    } else {
                        replies.push_back(Reply::Has((next - 1) as u16));
                        since = 0;
                    }
                }
            }
        }
        replies.retain(|_| !lost());
        step = match replies.pop_front() {
            Some(reply) => {
                let mut step = transfer.reply(reply);
                // What is said while blocks are under way is read after them.
                for reply in replies {
                    match transfer.reply(reply) {
                        Step::Wait => {}
                        newer => step = newer,
                    }
                }
                step
            }
            None => transfer.silence(),
        };
        if step == Step::Wait {
            step = transfer.silence();
        }
    }
    None
}

fn asked(block: Option<u16>, window: Option<u16>) -> Request {
    Request { path: "a".into(), block, window, wait: None, size: false }
}

#[test]
fn files_of_every_length_arrive() {
    for len in [0, 1, 511, 512, 513, 1024, 70_000] {
        let content: Vec<u8> = (0..len).map(|i: u32| (i % 251) as u8).collect();
        for (block, window) in [(None, None), (Some(1468), None), (Some(8), Some(16)), (Some(512), Some(64))]
        {
            let got = play(&content, &asked(block, window), &mut || false);
            assert_eq!(got.as_ref(), Some(&content), "{len} {block:?} {window:?}");
        }
    }
}

#[test]
fn numbers_come_again_in_long_files() {
    let content: Vec<u8> = (0..8 * 140_000).map(|i: u32| (i / 8 % 253) as u8).collect();
    assert_eq!(play(&content, &asked(Some(8), Some(64)), &mut || false).unwrap(), content);
}

#[test]
fn a_client_that_says_nothing_is_given_up() {
    let mut transfer = Transfer::new(&asked(None, None), 10);
    let steps: Vec<Step> = (0..transfer::TRIES).map(|_| transfer.silence()).collect();
    assert_eq!(steps[0], Step::Send { first: 1, count: 1 });
    assert_eq!(steps.last(), Some(&Step::Over));
}

#[test]
fn a_doubled_acknowledgement_sends_nothing() {
    let mut transfer = Transfer::new(&asked(None, None), 5000);
    assert_eq!(transfer.reply(Reply::Has(1)), Step::Send { first: 2, count: 1 });
    assert_eq!(transfer.reply(Reply::Has(1)), Step::Wait);
    assert_eq!(transfer.reply(Reply::Has(7)), Step::Wait);
    assert_eq!(transfer.reply(Reply::Ends), Step::Over);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _ = (Request::parse(&bytes), acknowledged(&bytes));
        let mut read = vec![0, 1];
        read.extend(&bytes);
        if let Ok(Some(request)) = Request::parse(&read) {
            let block = request.block.unwrap_or(BLOCK);
            prop_assert!((8..=1468).contains(&block) && request.window.unwrap_or(1) <= 64);
        }
    }

    #[test]
    fn a_lossy_link_is_survived(len in 0_usize..30_000, window in 1_u16..40, seed: u64) {
        let content: Vec<u8> = (0..len).map(|i| (i % 249) as u8).collect();
        let mut state = seed | 1;
        // One packet in twenty is lost.
        let mut lost = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % 20 == 0
        };
        let got = play(&content, &asked(Some(512), Some(window)), &mut lost);
        // Many losses in a row may end it; then nothing wrong was taken for the file.
        prop_assert!(got.is_none_or(|got| got == content));
    }

    #[test]
    fn no_reply_breaks_a_transfer(size in 0_u64..100_000, window in 1_u16..65, replies in proptest::collection::vec(any::<u16>(), 0..200)) {
        let mut transfer = Transfer::new(&asked(Some(8), Some(window)), size);
        for reply in replies {
            if let Step::Send { first, count } = transfer.reply(Reply::Has(reply)) {
                prop_assert!(count >= 1 && count <= u64::from(window) && (first - 1) * 8 <= size);
            }
        }
    }
}
