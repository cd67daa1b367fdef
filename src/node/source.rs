//! Where the files of a payload come from in the installer: a folder (the mounted medium), or a PXE tree by HTTP.
//!
//! A file from a tree is read as a stream and never held; a connection that breaks is made again from where it broke. What comes is
//! compared with the manifest by whoever reads it. Not here: TLS, redirects, names (a tree's address is a number).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::error::{IoContext, Result};
use crate::image::pxe::list::TreeUrl;
use crate::payload::manifest::ManifestFile;

/// How often a broken connection is made again without a new byte, and the pause before.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(3);
/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest head of an answer.
const MAX_HEAD: u64 = 16 << 10;

/// Where files come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A folder.
    Folder(&'a Path),
    /// A tree.
    Tree(&'a TreeUrl),
}

impl Source<'_> {
    /// Opens a file of the payload: `/kiln/common.tar`.
    pub fn open(&self, name: &str, want: &ManifestFile) -> Result<Box<dyn Read>> {
        match self {
            Source::Folder(media) => {
                let path = media.join(name.trim_start_matches('/'));
                Ok(Box::new(File::open(&path).at("opening", &path)?))
            }
            Source::Tree(url) => Ok(Box::new(Remote::new(url, name, want.size, PAUSE))),
        }
    }

    /// A file as messages name it.
    pub fn name(&self, name: &str) -> String {
        match self {
            Source::Folder(media) => media.join(name.trim_start_matches('/')).display().to_string(),
            Source::Tree(url) => url.file(name),
        }
    }
}

/// A file of a server, read from its beginning.
#[derive(Debug)]
struct Remote {
    server: SocketAddrV4,
    path: String,
    size: u64,
    at: u64,
    tries: u32,
    pause: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Remote {
    fn new(url: &TreeUrl, name: &str, size: u64, pause: Duration) -> Self {
        let server = SocketAddrV4::new(url.address(), url.port());
        let path = format!("{}{}", url.path(), name.trim_start_matches('/'));
        Self { server, path, size, at: 0, tries: 0, pause, stream: None }
    }

    /// Asks for what is left. HTTP/1.0, so that the answer comes in one piece and ends with the connection.
    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.server.into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let range = if self.at > 0 { format!("Range: bytes={}-\r\n", self.at) } else { String::new() };
        let request =
            format!("GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: kiln\r\n{range}\r\n", self.path, self.server);
        (&stream).write_all(request.as_bytes())?;
        let mut reader = BufReader::with_capacity(256 << 10, stream);
        let whole = self.head(&mut reader)?;
        if whole && self.at > 0 {
            // The server knows no ranges.
            let passed = io::copy(&mut reader.by_ref().take(self.at), &mut io::sink())?;
            if passed < self.at {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(reader)
    }

    /// Reads the head of the answer; whether the whole file follows.
    fn head(&self, reader: &mut impl BufRead) -> io::Result<bool> {
        let mut limited = reader.take(MAX_HEAD);
        let mut status = String::new();
        limited.read_line(&mut status)?;
        let number = status.split(' ').nth(1).unwrap_or_default().to_owned();
        loop {
            let mut line = String::new();
            if limited.read_line(&mut line)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the answer has no end of its head",
                ));
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        match number.as_str() {
            "200" => Ok(true),
            "206" if self.at > 0 => Ok(false),
            "403" => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the server does not give it to this machine; its log says why",
            )),
            "404" => Err(io::Error::new(io::ErrorKind::NotFound, "the server has no such file")),
            _ => Err(io::Error::other(format!("the server answered: {}", status.trim_end().escape_debug()))),
        }
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more is asked for than there should be: a longer file is another one.
        while self.at <= self.size && !buffer.is_empty() {
            let outcome = match self.stream.as_mut() {
                Some(stream) => stream.read(buffer),
                None if self.at == self.size && self.size > 0 => return Ok(0),
                None => match self.connect() {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            let error = match outcome {
                Ok(0) if self.at == self.size => return Ok(0),
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(got) => {
                    (self.at, self.tries) = (self.at + got as u64, 0);
                    return Ok(got);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.stream = None;
            self.tries += 1;
            let lasting = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound);
            if lasting || self.tries >= TRIES {
                return Err(io::Error::new(
                    error.kind(),
                    format!("http://{}{}: {error}", self.server, self.path),
                ));
            }
            std::thread::sleep(self.pause);
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer a connection, and what it was asked.
    fn serve(answers: Vec<Vec<u8>>) -> (TreeUrl, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/kiln/", listener.local_addr().unwrap()).parse().unwrap();
        let thread = std::thread::spawn(move || {
            let one = |answer: Vec<u8>| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 4096];
                let len = stream.read(&mut asked).unwrap();
                stream.write_all(&answer).unwrap();
                String::from_utf8_lossy(&asked[..len]).into_owned()
            };
            answers.into_iter().map(one).collect()
        });
        (url, thread)
    }

    fn answer(status: &str, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 {status}\r\nA: b\r\n\r\n").as_bytes(), body].concat()
    }

    fn all(url: &TreeUrl, size: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Remote::new(url, "/kiln/common.tar", size, Duration::ZERO).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn a_broken_connection_goes_on_where_it_broke() {
        let (url, thread) = serve(vec![
            answer("200 OK", b"0123"),
            answer("503 Busy", b"wait"),
            answer("206 Partial Content", b"4567"),
            answer("200 OK", b"0123456789"),
        ]);
        assert_eq!(all(&url, 10).unwrap(), b"0123456789");
        let asked = thread.join().unwrap();
        assert!(
            asked[0].starts_with("GET /kiln/kiln/common.tar HTTP/1.0\r\n") && !asked[0].contains("Range"),
            "{asked:?}"
        );
        assert!(
            asked[2].contains("Range: bytes=4-\r\n") && asked[3].contains("Range: bytes=8-\r\n"),
            "{asked:?}"
        );
    }

    #[test]
    fn a_refusal_is_not_asked_for_again() {
        let (url, thread) = serve(vec![answer("403 Forbidden", b"no")]);
        let error = all(&url, 10).unwrap_err();
        assert!(error.to_string().contains("does not give it to this machine"), "{error}");
        assert_eq!(thread.join().unwrap().len(), 1);
    }

    #[test]
    fn a_longer_file_is_seen() {
        let (url, thread) = serve(vec![answer("200 OK", b"0123456789 and more")]);
        assert_ne!(all(&url, 10).unwrap().len(), 10);
        thread.join().unwrap();
    }

    #[test]
    fn a_server_that_is_gone_is_given_up() {
        let (url, thread) = serve(vec![answer("200 OK", b"01")]);
        assert!(all(&url, 10).is_err());
        thread.join().unwrap();
    }
}
