//! A server for tests: real sockets on loopback, answers from a closure that sees each request.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Options, Patience};
use crate::url::Url;

/// A request as a test sees it.
#[derive(Debug, Clone)]
pub(in crate::fetch) struct Asked {
    pub(in crate::fetch) path: String,
    /// Names in lower case.
    pub(in crate::fetch) headers: BTreeMap<String, String>,
}

impl Asked {
    /// The first byte that a `Range` asks for.
    pub(in crate::fetch) fn from(&self) -> usize {
        let range = self.headers.get("range").map(|range| range.trim_start_matches("bytes="));
        range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
    }
}

/// What a test answers.
#[derive(Debug, Clone, Default)]
pub(in crate::fetch) struct Reply {
    pub(in crate::fetch) status: u16,
    pub(in crate::fetch) headers: Vec<(String, String)>,
    pub(in crate::fetch) body: Vec<u8>,
    /// Closes the connection after so many bytes of the body.
    pub(in crate::fetch) cut: Option<usize>,
}

impl Reply {
    /// 200 with a body.
    pub(in crate::fetch) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), ..Self::default() }
    }

    /// A status without a body.
    pub(in crate::fetch) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header.
    pub(in crate::fetch) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The rest of `all` from where the request wants it.
    pub(in crate::fetch) fn part(all: &[u8], asked: &Asked) -> Self {
        let from = asked.from();
        if from == 0 {
            return Self::ok(all);
        }
        let range = format!("bytes {from}-{}/{}", all.len() - 1, all.len());
        Self { status: 206, body: all[from..].to_vec(), ..Self::default() }.with("Content-Range", range)
    }
}

/// A server that runs until the test ends.
pub(in crate::fetch) struct Server {
    pub(in crate::fetch) url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts one.
    pub(in crate::fetch) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &log, answer.as_ref()));
            }
        });
        Self { url, asked }
    }

    /// What was asked so far.
    pub(in crate::fetch) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// An address on it.
    pub(in crate::fetch) fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }
}

fn serve(stream: &TcpStream, log: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        log.lock().unwrap().push(asked.clone());
        let reply = answer(&asked);
        let mut text = format!("HTTP/1.1 {} Test\r\n", reply.status);
        for (name, value) in &reply.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !reply.headers.iter().any(|(name, _)| name == "Content-Length") {
            text += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        let mut out = stream;
        let end = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
        // A client may go away before it has read all.
        let sent =
            out.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| out.write_all(&reply.body[..end]));
        if sent.is_err() || reply.cut.is_some() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Some(Asked { path, headers });
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

/// Options for tests: failures are waited for a moment only.
pub(in crate::fetch) fn options() -> Options {
    let patience = Patience { tries: 4, pause: Duration::from_millis(1), longest: Duration::from_secs(2) };
    Options { patience, ..Options::default() }
}
