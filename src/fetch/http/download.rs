//! One file from an address into the cache: resumed where it was cut, tried again when the network fails, compared with what it
//! must be before it gets a name.

use std::io::Read as _;

use super::{Answer, Client, Failure};
use crate::digest::Sha256;
use crate::error::{Class, Error, IoContext, Result};
use crate::fetch::cache::{Cache, Staged};
use crate::fetch::meter::Meter;
use crate::url::Url;

/// Buffer between network and disk.
const BUFFER: usize = 256 << 10;

/// What is wanted.
pub struct Download<'a> {
    /// Where it lies.
    pub url: &'a Url,
    /// Size in bytes, if it is known.
    pub size: Option<u64>,
    /// Digest, if it is known. Without one, what comes is taken.
    pub sha256: Option<Sha256>,
    /// Largest size that is taken when none is known.
    pub limit: u64,
    /// How it logs in, if it does.
    pub login: Option<&'a dyn Login>,
}

/// A login that requests carry.
pub trait Login: Sync {
    /// The `Authorization` header.
    fn authorization(&self) -> Result<Option<String>>;

    /// The server refused (401). Whether another try makes sense.
    fn refused(&self, challenge: Option<&str>) -> Result<bool>;
}

/// What is in the cache now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    /// Size in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256,
}

/// Fetches a file into the cache, if it is not there.
pub fn download(client: &Client, cache: &Cache, want: &Download<'_>, meter: &Meter<'_>) -> Result<Got> {
    let key = match want.sha256 {
        Some(digest) => digest.to_string(),
        None => format!("url-{}", Sha256::of(want.url.as_str().as_bytes())),
    };
    meter.expect(want.size.unwrap_or(0));
    let mut staged = cache.stage(&key)?;
    if let Some(sha256) = want.sha256
        && let Some(size) = want.size.or_else(|| cache.size(sha256))
        && cache.holds(sha256, size)?
    {
        staged.discard()?;
        meter.advance(size);
        return Ok(Got { size, sha256 });
    }
    // A file that is not known by its digest may be another one today.
    if want.sha256.is_none() || want.size.is_some_and(|size| staged.len() > size) {
        staged.restart()?;
    }
    meter.advance(staged.len());
    let place = client.place(want.url);
    match place.file() {
        Some(path) => copy(&path, &mut staged, want, meter)?,
        None => Transfer { client, want, place: &place, meter, validator: None }.run(&mut staged)?,
    }
    let size = staged.len();
    let wrong = |what: String| {
        let hint = match want.sha256 {
            Some(_) => "the server has another file under this address, or something in between changes it",
            None => "the server's word and its file do not fit: try again later",
        };
        Error::new(Class::Network, format!("{place}: {what}")).hint(hint)
    };
    if let Some(expect) = want.size.filter(|expect| *expect != size) {
        staged.discard()?;
        return Err(wrong(format!("it has {size} bytes, not {expect}")));
    }
    let found = staged.digest();
    let sha256 = staged.keep(want.sha256).map_err(|error| match want.sha256 {
        Some(expect) if expect != found => wrong(format!("it has the SHA-256 {found}, not {expect}")),
        _ => error,
    })?;
    Ok(Got { size, sha256 })
}

/// From a mirror that is a folder.
fn copy(path: &std::path::Path, staged: &mut Staged, want: &Download<'_>, meter: &Meter<'_>) -> Result<()> {
    staged.restart()?;
    let mut file = std::fs::File::open(path).at("opening", path).map_err(|error| {
        error.hint("the mirror has no such file: check `mirror` in [components] and the version")
    })?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let now = file.read(&mut buffer).at("reading", path)?;
        if now == 0 {
            return Ok(());
        }
        if staged.len() + now as u64 > want.size.unwrap_or(want.limit) {
            return Err(Error::input(format!("{} is larger than it may be", path.display())));
        }
        staged.write(&buffer[..now])?;
        meter.advance(now as u64);
    }
}

struct Transfer<'a> {
    client: &'a Client,
    want: &'a Download<'a>,
    place: &'a Url,
    meter: &'a Meter<'a>,
    /// What the server knows the version by (strong `ETag`).
    validator: Option<String>,
}

impl Transfer<'_> {
    /// Tries until all is there. A failure after new bytes is the first again.
    fn run(&mut self, staged: &mut Staged) -> Result<()> {
        let mut failed = 0;
        loop {
            let before = staged.len();
            let Err(failure) = self.once(staged) else { return Ok(()) };
            failed = if staged.len() > before { 1 } else { failed + 1 };
            self.client.wait(failure, failed)?;
        }
    }

    fn once(&mut self, staged: &mut Staged) -> Result<(), Failure> {
        let at = staged.len();
        // One that was stopped just before it got its name.
        if at > 0 && self.want.size == Some(at) {
            return Ok(());
        }
        let mut headers = Vec::new();
        if at > 0 {
            headers.push(("Range", format!("bytes={at}-")));
            headers.extend(self.validator.clone().map(|tag| ("If-Range", tag)));
        }
        let login = self.want.login.map(|login| login.authorization()).transpose().map_err(Failure::other)?;
        let own: Vec<(&str, String)> =
            login.flatten().map(|value| ("Authorization", value)).into_iter().collect();
        let answer = self.client.get(self.place, &own, &headers)?;
        let total = match answer.status().as_u16() {
            206 if at > 0 => {
                let (from, total) =
                    range(&answer).ok_or_else(|| self.last("its Content-Range cannot be read"))?;
                if from != at {
                    return Err(self.last("it sends another part than was asked for"));
                }
                total
            }
            200 => {
                self.restart(staged)?;
                let total = length(&answer);
                if self.want.size.is_none() {
                    self.meter.expect(total.unwrap_or(0));
                }
                total
            }
            // What is there is no beginning of what the server has.
            416 => {
                self.restart(staged)?;
                return Err(Failure::passing(self.place, "it has no such part"));
            }
            401 => return Err(self.refused(&answer)),
            _ => return Err(Failure::status(self.place, &answer)),
        };
        if let (Some(total), Some(expect)) = (total, self.want.size)
            && total != expect
        {
            return Err(self.last(&format!("it has {total} bytes, not {expect}")));
        }
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
        self.validator = tag.filter(|tag| tag.starts_with('"')).map(str::to_owned);
        self.receive(answer, staged, total)
    }

    fn receive(&self, answer: Answer, staged: &mut Staged, total: Option<u64>) -> Result<(), Failure> {
        let limit = self.want.size.unwrap_or(self.want.limit);
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(now) => {
                    if staged.len() + now as u64 > limit {
                        return Err(self.last(&format!("it sends more than {limit} bytes")));
                    }
                    staged.write(&buffer[..now]).map_err(Failure::other)?;
                    self.meter.advance(now as u64);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.cut(staged, &error.to_string())?),
            }
        }
        match total {
            Some(total) if staged.len() < total => Err(self.cut(staged, "it ends early")?),
            _ => Ok(()),
        }
    }

    /// The connection ended before the file. Without digest and validator nobody could tell whether the rest belongs to it.
    fn cut(&self, staged: &mut Staged, why: &str) -> Result<Failure, Failure> {
        let failure = Failure::passing(self.place, &format!("{why}, after {} bytes", staged.len()));
        if self.want.sha256.is_none() && self.validator.is_none() {
            self.restart(staged)?;
        }
        Ok(failure)
    }

    fn restart(&self, staged: &mut Staged) -> Result<(), Failure> {
        staged.restart().map_err(Failure::other)
    }

    fn refused(&self, answer: &Answer) -> Failure {
        let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
        match self.want.login.map(|login| login.refused(challenge)) {
            Some(Ok(true)) => Failure::passing(self.place, "the login was refused"),
            Some(Err(error)) => Failure::other(error),
            Some(Ok(false)) | None => Failure::status(self.place, answer),
        }
    }

    fn last(&self, why: &str) -> Failure {
        Failure::last(self.place, why)
    }
}

/// First byte and total size of a part: `bytes 100-199/200`.
fn range(answer: &Answer) -> Option<(u64, Option<u64>)> {
    let text = answer.headers().get("content-range")?.to_str().ok()?;
    let (part, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = part.split_once('-')?;
    Some((from.parse().ok()?, total.parse().ok()))
}

fn length(answer: &Answer) -> Option<u64> {
    answer.headers().get("content-length")?.to_str().ok()?.parse().ok()
}
