//! XML, as far as repodata has it: elements, attributes and text. The parser is `quick-xml`; what bounds it is here. Only the five
//! entities that XML itself defines and numbers of characters are replaced: a document type may be named (comps does), and
//! may define nothing, so there is nothing to expand.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use quick_xml::encoding::EncodingError;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::error::{Error, Result};

/// Deepest element.
const MAX_DEPTH: usize = 32;
/// Longest tag, text or comment.
const MAX_EVENT: usize = 4 << 20;
/// Most attributes of an element.
const MAX_ATTRIBUTES: usize = 64;

/// A document under way.
pub(super) struct Xml<R> {
    reader: Reader<Meter<R>>,
    buffer: Vec<u8>,
    depth: usize,
    what: String,
}

/// What comes next.
pub(super) enum Token {
    /// An element begins.
    Start(Element),
    /// The innermost element ends.
    End,
    /// Text of the innermost element.
    Text(String),
    /// The document ends.
    Done,
}

/// An element that begins.
pub(super) struct Element {
    /// Its name without its prefix.
    pub name: String,
    /// Its depth; the root has 1.
    pub depth: usize,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// Takes the value of an attribute, by its whole name.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let found = self.attributes.iter_mut().find(|(key, _)| key == name)?;
        Some(std::mem::take(&mut found.1))
    }
}

impl<R: BufRead> Xml<R> {
    /// Reads from `source`; `what` names the document in messages.
    pub fn new(source: R, what: &str) -> Self {
        let mut reader = Reader::from_reader(Meter { inner: source, left: MAX_EVENT });
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new(), depth: 0, what: what.to_owned() }
    }

    /// An error of the document.
    pub fn fault(&self, fault: impl std::fmt::Display) -> Error {
        Error::input(format!("{}: {fault}", self.what))
    }

    /// What comes next.
    pub fn next(&mut self) -> Result<Token> {
        loop {
            self.buffer.clear();
            self.reader.get_mut().left = MAX_EVENT;
            let what = &self.what;
            let fault = |fault: &str| Error::input(format!("{what}: {fault}"));
            match self.reader.read_event_into(&mut self.buffer).map_err(|error| broken(what, error))? {
                Event::Start(start) => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(fault("elements lie deeper than any should"));
                    }
                    return element(what, &start, self.depth).map(Token::Start);
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Token::End);
                }
                Event::Text(text) => return owned(what, text.xml10_content()),
                Event::CData(text) => return owned(what, text.xml10_content()),
                Event::GeneralRef(name) => return character(what, &name).map(Token::Text),
                Event::DocType(text) if text.contains(&b'[') => {
                    return Err(fault("its document type defines something of its own"));
                }
                Event::Eof if self.depth == 0 => return Ok(Token::Done),
                Event::Eof => return Err(fault("it ends within an element")),
                _ => {}
            }
        }
    }

    /// The text of the element that began last, to its end; elements within are passed over.
    pub fn text(&mut self) -> Result<String> {
        let end = self.depth;
        let mut all = String::new();
        loop {
            match self.next()? {
                Token::Text(text) => all.push_str(&text),
                Token::End if self.depth < end => return Ok(all.trim().to_owned()),
                Token::Done => return Err(self.fault("it ends within an element")),
                Token::Start(_) | Token::End => {}
            }
            if all.len() > MAX_EVENT {
                return Err(self.fault("a text is longer than any should be"));
            }
        }
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.depth
    }
}

fn broken(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::input(format!("{what}: it is broken")).because(error)
}

fn element(what: &str, start: &BytesStart<'_>, depth: usize) -> Result<Element> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| broken(what, error))?;
        let value =
            attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| broken(what, error))?;
        attributes.push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value.into_owned()));
        if attributes.len() > MAX_ATTRIBUTES {
            return Err(Error::input(format!("{what}: an element has more attributes than any should")));
        }
    }
    let name = String::from_utf8_lossy(start.local_name().into_inner()).into_owned();
    Ok(Element { name, depth, attributes })
}

fn owned(what: &str, text: Result<Cow<'_, str>, EncodingError>) -> Result<Token> {
    text.map(|text| Token::Text(text.into_owned())).map_err(|error| broken(what, error))
}

/// What a reference stands for: a character by its number, or one of XML's own five.
fn character(what: &str, name: &BytesRef<'_>) -> Result<String> {
    if let Some(c) = name.resolve_char_ref().map_err(|error| broken(what, error))? {
        return Ok(c.to_string());
    }
    let name = name.decode().map_err(|error| broken(what, error))?;
    let known = resolve_xml_entity(&name).map(str::to_owned);
    known.ok_or_else(|| Error::input(format!("{what}: `&{};` stands for nothing", name.escape_debug())))
}

/// Bounds what the parser reads for one event.
struct Meter<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(buffer)?;
        self.consume(got);
        Ok(got)
    }
}

impl<R: BufRead> BufRead for Meter<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a tag or text is longer than any should be",
            ));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.left = self.left.saturating_sub(amount);
        self.inner.consume(amount);
    }
}
