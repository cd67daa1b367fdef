//! Runs a program of the node's and waits for it, bounded in time and output. Its input is given as bytes, so that nothing
//! secret is ever an argument or a file.

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Most output that is kept of each stream.
const LARGEST: u64 = 1 << 20;
/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a program came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whether it said that it succeeded.
    pub success: bool,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub messages: String,
}

/// Runs `command` with `input`; after `limit` it is killed, which is an error.
pub fn run(mut command: Command, input: &[u8], limit: Duration) -> Result<Ended> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed =
        |what: &str, error: std::io::Error| Error::tool(format!("{what} {name} failed")).because(error);
    let started = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed("starting", error))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let status = thread::scope(|scope| {
        // A program that closes its input early is judged by how it ends.
        let feed = scope.spawn(|| stdin.is_some_and(|mut stdin| stdin.write_all(input).is_ok()));
        let output = scope.spawn(|| read(stdout));
        let messages = scope.spawn(|| read(stderr));
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if started.elapsed() < limit => thread::sleep(LOOK),
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break Err(Error::tool(format!("{name} was killed, it ran for {} s", limit.as_secs())));
                }
                Err(error) => break Err(failed("waiting for", error)),
            }
        };
        let _ = feed.join();
        let join = |thread: thread::ScopedJoinHandle<'_, String>| thread.join().unwrap_or_default();
        (status, join(output), join(messages))
    });
    let (status, output, messages) = status;
    Ok(Ended { success: status?.success(), output, messages })
}

/// All that a stream gives, of which the beginning is kept.
fn read(stream: Option<impl Read>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.by_ref().take(LARGEST).read_to_end(&mut kept);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn input_output_and_outcome_are_passed_on() {
        let ended =
            run(shell("cat; echo no >&2; exit 3"), &[b'x'; 200_000], Duration::from_secs(20)).unwrap();
        assert_eq!((ended.success, ended.output.len(), ended.messages.as_str()), (false, 200_000, "no\n"));
        assert!(run(shell("exec <&-; true"), &[b'x'; 200_000], Duration::from_secs(20)).unwrap().success);
    }

    #[test]
    fn a_program_that_hangs_or_is_not_there_is_an_error() {
        let error = run(shell("exec sleep 60"), b"", Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("killed"), "{error}");
        assert!(run(Command::new("/nowhere/x"), b"", Duration::from_secs(1)).is_err());
    }
}
