//! What agents say to each other: one question and one answer a connection, each four bytes of length (big-endian) and JSON.
//!
//! The bytes of a peer are hostile even though its certificate is ours: lengths are bounded before anything is read, names and
//! incarnations are types, and texts are cut and cleaned before they are kept or shown.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::cluster::types::HostName;
use crate::error::{Error, Result};
use crate::node::formation::decide::Stage;
use crate::node::formation::store::{Incarnation, Lives};
use crate::node::status::NodeStatus;

/// Longest question.
pub const LONGEST_ASK: usize = 64 << 10;
/// Longest answer: a board of hundreds of nodes.
pub const LONGEST_REPLY: usize = 1 << 20;

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// Has the cluster formed, and what have you heard?
    Formation {
        /// Who asks; its certificate says the same.
        name: HostName,
        /// Its incarnation, if it is a member of etcd.
        incarnation: Option<Incarnation>,
    },
    /// Take me in again: my data is gone.
    Join {
        /// Who asks; its certificate says the same.
        name: HostName,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// This is how I am.
    Report(Box<Report>),
    /// How is everyone?
    Board,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The node.
    pub status: NodeStatus,
    /// Its incarnation, if it is a member of etcd.
    pub incarnation: Option<Incarnation>,
    /// Whether it knows that the cluster has formed.
    pub formed: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "lowercase")]
pub enum Reply {
    /// To `Formation`.
    Formation(View),
    /// To `Join`: the member list to start with, names and URLs.
    Joined {
        /// etcd's members.
        members: Vec<(String, String)>,
    },
    /// To `Report`.
    Noted {
        /// Incarnation of the one who answers.
        incarnation: Option<Incarnation>,
        /// Whether it knows that the cluster has formed.
        formed: bool,
        /// Its clock, seconds since 1970.
        clock: i64,
    },
    /// To `Board`.
    Board {
        /// All nodes that it has heard of lately.
        nodes: Vec<NodeStatus>,
    },
    /// To anything.
    Refused {
        /// A sentence for people.
        why: String,
    },
}

/// What a node says about formation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// How far it has come.
    pub stage: Stage,
    /// Its incarnation, if it is a member of etcd.
    pub incarnation: Option<Incarnation>,
    /// What it has heard.
    pub known: Lives,
    /// What it had heard when it learned that the cluster had formed.
    pub founders: Lives,
    /// Whether its etcd has a quorum.
    pub healthy: bool,
}

/// Writes a message.
pub fn send<T: Serialize>(to: &mut impl Write, message: &T, longest: usize) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len as usize <= longest);
    let len = len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"))?;
    // In one piece: two would be two records, and perhaps two packets.
    let mut all = len.to_be_bytes().to_vec();
    all.extend(bytes);
    to.write_all(&all)?;
    to.flush()
}

/// Reads a message's bytes.
pub fn receive(from: &mut impl Read, longest: usize) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > longest {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {len} bytes is too long"),
        ));
    }
    let mut bytes = Vec::new();
    // Room is made as bytes arrive, not as a peer claims.
    from.take(len as u64).read_to_end(&mut bytes)?;
    if bytes.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Reads a question. Never panics, whatever the bytes.
pub fn parse_ask(bytes: &[u8]) -> Result<Ask> {
    let mut ask: Ask = serde_json::from_slice(bytes)
        .map_err(|error| Error::input("the question cannot be read").because(error))?;
    if let Ask::Report(report) = &mut ask {
        report.status.clean();
    }
    Ok(ask)
}

/// Reads an answer. Never panics, whatever the bytes.
pub fn parse_reply(bytes: &[u8]) -> Result<Reply> {
    let mut reply: Reply = serde_json::from_slice(bytes)
        .map_err(|error| Error::input("the answer cannot be read").because(error))?;
    match &mut reply {
        Reply::Board { nodes } => nodes.iter_mut().for_each(NodeStatus::clean),
        Reply::Refused { why } => *why = crate::node::status::clean(why),
        _ => {}
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask() -> Ask {
        Ask::Formation { name: "k8s-master1".parse().unwrap(), incarnation: Some(Incarnation::new([1; 16])) }
    }

    #[test]
    fn messages_come_back() {
        let mut bytes = Vec::new();
        send(&mut bytes, &ask(), LONGEST_ASK).unwrap();
        let read = receive(&mut bytes.as_slice(), LONGEST_ASK).unwrap();
        assert_eq!(parse_ask(&read).unwrap(), ask());
    }

    #[test]
    fn too_long_cut_short_and_foreign_is_refused() {
        let mut bytes = Vec::new();
        send(&mut bytes, &ask(), LONGEST_ASK).unwrap();
        assert!(receive(&mut bytes.as_slice(), 10).is_err());
        for end in 0..bytes.len() {
            assert!(receive(&mut &bytes[..end], LONGEST_ASK).is_err(), "{end}");
        }
        let huge = [0xff; 8];
        assert!(receive(&mut huge.as_slice(), LONGEST_REPLY).is_err());
        assert!(send(&mut Vec::new(), &Reply::Refused { why: "x".repeat(99) }, 50).is_err());
        for text in [
            "",
            "{}",
            "[]",
            r#"{"ask":"formation","name":"../../etc","incarnation":null}"#,
            r#"{"ask":"formation","name":"a","incarnation":"short"}"#,
            r#"{"ask":"join","name":"a"}"#,
            r#"{"ask":"shell","name":"a"}"#,
            r#"{"ask":"formation","name":"a","incarnation":null,"more":1}"#,
        ] {
            assert!(parse_ask(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "[".repeat(60_000);
        assert!(parse_ask(deep.as_bytes()).is_err() && parse_reply(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_ask(&bytes);
            let _ = parse_reply(&bytes);
            let _ = receive(&mut bytes.as_slice(), 200);
        }

        #[test]
        fn a_changed_message_is_judged(at in 0usize..90, byte in any::<u8>()) {
            let mut bytes = Vec::new();
            send(&mut bytes, &ask(), LONGEST_ASK).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(read) = receive(&mut bytes.as_slice(), LONGEST_ASK) {
                let _ = parse_ask(&read);
            }
        }
    }
}
