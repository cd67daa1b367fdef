//! QEMU's monitor protocol, as much as a boot test needs: greeting, commands without waiting for their answers, events.
//!
//! One JSON object a line (QEMU `docs/interop/qmp-spec`). QEMU is not trusted to be QEMU: lines are bounded, and what is no
//! JSON ends the conversation.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Longest line. The registers of a processor are about 3 KiB, and there may be 255 of them.
const LINE_LIMIT: usize = 768 << 10;

/// What came from the monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// QEMU is there and speaks the protocol.
    Greeting,
    /// A command succeeded.
    Done,
    /// A command succeeded; QEMU's answer, a text for people.
    Told(String),
    /// A command failed; QEMU's words.
    Refused(String),
    /// The guest is off or reset; QEMU's reason.
    Shutdown(String),
    /// The guest reported a panic.
    Panicked,
    /// Any other event.
    Other(String),
}

/// The connection.
#[derive(Debug)]
pub struct Monitor {
    stream: UnixStream,
    pending: Vec<u8>,
    closed: bool,
}

impl Monitor {
    /// Takes over a connected socket.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, pending: Vec::new(), closed: false }
    }

    /// Whether QEMU has closed the connection: it has ended, or is about to.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Waits up to `time` for messages.
    ///
    /// # Errors
    /// With a description when the other end does not speak QMP.
    pub fn wait(&mut self, time: Duration) -> Result<Vec<Message>, String> {
        if self.closed {
            return Ok(Vec::new());
        }
        // Zero would mean "for ever".
        let time = time.max(Duration::from_millis(1));
        let mut buffer = [0; 4096];
        match self.stream.set_read_timeout(Some(time)).and_then(|()| self.stream.read(&mut buffer)) {
            Ok(0) => self.closed = true,
            Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => self.closed = true,
        }
        let mut messages = Vec::new();
        while let Some(end) = self.pending.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            if !line.trim_ascii().is_empty() {
                messages.push(parse(&line)?);
            }
        }
        if self.pending.len() > LINE_LIMIT {
            self.closed = true;
            return Err(format!("a monitor line longer than {LINE_LIMIT} bytes"));
        }
        Ok(messages)
    }

    /// Ends the capabilities negotiation and lets the processors run.
    pub fn start(&mut self) {
        self.send(&json!({"execute": "qmp_capabilities"}));
        self.send(&json!({"execute": "cont"}));
    }

    /// Asks for a picture of the screen.
    pub fn screenshot(&mut self, file: &Path) {
        self.send(&json!({"execute": "screendump", "arguments": {"filename": file, "format": "png"}}));
    }

    /// Asks for the registers of all processors, as a text for people. There is no command of QMP for them.
    pub fn registers(&mut self) {
        let line = json!({"command-line": "info registers -a"});
        self.send(&json!({"execute": "human-monitor-command", "arguments": line}));
    }

    /// Presses the power button.
    pub fn power_down(&mut self) {
        self.send(&json!({"execute": "system_powerdown"}));
    }

    /// Asks QEMU to end.
    pub fn quit(&mut self) {
        self.send(&json!({"execute": "quit"}));
    }

    /// A failure to send shows as a closed connection at the next wait.
    fn send(&mut self, command: &Value) {
        let _ = self.stream.set_write_timeout(Some(Duration::from_secs(2)));
        let _ = self.stream.write_all(format!("{command}\n").as_bytes());
    }
}

fn parse(line: &[u8]) -> Result<Message, String> {
    let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(line) else {
        let start = String::from_utf8_lossy(&line[..line.len().min(80)]);
        return Err(format!("no QMP message: {:?}", start.trim_end()));
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if object.contains_key("QMP") {
        return Ok(Message::Greeting);
    }
    if let Some(error) = object.get("error") {
        return Ok(Message::Refused(text(&error["desc"])));
    }
    if let Some(Value::String(told)) = object.get("return") {
        return Ok(Message::Told(told.clone()));
    }
    Ok(match object.get("event").and_then(Value::as_str) {
        Some("SHUTDOWN") => {
            Message::Shutdown(object.get("data").map(|d| text(&d["reason"])).unwrap_or_default())
        }
        Some("GUEST_PANICKED") => Message::Panicked,
        Some(event) => Message::Other(event.to_owned()),
        None => Message::Done,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(text: &[u8]) -> (Monitor, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(text).unwrap();
        (Monitor::new(ours), theirs)
    }

    fn read_all(monitor: &mut Monitor) -> Result<Vec<Message>, String> {
        let mut all = Vec::new();
        while !monitor.closed() {
            all.extend(monitor.wait(Duration::from_secs(5))?);
        }
        Ok(all)
    }

    #[test]
    fn events_and_answers_are_told_apart() {
        let text = br#"{"QMP": {"version": {}}}
{"return": {}}
{"return": "RIP=10\r\n"}
{"error": {"class": "GenericError", "desc": "no console"}}
{"timestamp": {}, "event": "RESUME"}
{"event": "GUEST_PANICKED", "data": {}}
{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}
"#;
        let (mut monitor, theirs) = talk(text);
        drop(theirs);
        let expected = [
            Message::Greeting,
            Message::Done,
            Message::Told("RIP=10\r\n".into()),
            Message::Refused("no console".into()),
            Message::Other("RESUME".into()),
            Message::Panicked,
            Message::Shutdown("guest-shutdown".into()),
        ];
        assert_eq!(read_all(&mut monitor).unwrap(), expected);
    }

    #[test]
    fn what_is_not_qmp_is_refused() {
        for text in [&b"hello\n"[..], b"[1]\n", b"\xff\xfe\n"] {
            let (mut monitor, theirs) = talk(text);
            drop(theirs);
            assert!(read_all(&mut monitor).unwrap_err().starts_with("no QMP message"));
        }
    }

    #[test]
    fn an_endless_line_ends_the_conversation() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || while theirs.write_all(&[b'x'; 4096]).is_ok() {});
        let mut monitor = Monitor::new(ours);
        assert!(read_all(&mut monitor).unwrap_err().contains("longer than"));
        drop(monitor);
        writer.join().unwrap();
    }
}
