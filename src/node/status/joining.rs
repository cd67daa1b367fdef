//! What a kubelet that has no certificate yet waits for. It says so nowhere but in its log, so the agent tries the same token at
//! the same API server. Nothing is joined here: that is the kubelet's business (TLS bootstrapping, kubernetes.io).

use std::path::Path;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::Level;
use crate::node::kube::client::{ApiError, Client};
use crate::node::kube::config::KubeConfig;
use crate::node::mend::CERTIFICATES;
use crate::node::topic::TopicFile;

/// Name of the topic.
const NAME: &str = "kubelet";
/// What the kubelet joins by.
const BOOTSTRAP: &str = "opt/kubernetes/cfg/bootstrap.kubeconfig";
/// What it has when it has joined.
const CERTIFICATE: &str = "kubelet-client-current.pem";
/// How often a kubelet is looked after that has not joined, and one that has.
const PACE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(60)];
/// How long a token may be unknown to the API server: masters put the tokens into a new cluster when it is up.
const UNKNOWN: Duration = Duration::from_secs(600);

/// Looks for ever. On a node that has no kubelet it ends at once.
pub fn run(root: &Path, clock: fn() -> OffsetDateTime) {
    let mut topic = TopicFile::new(root, NAME);
    let mut unknown_since: Option<Instant> = None;
    while root.join(BOOTSTRAP).exists() {
        let joined = root.join(CERTIFICATES).join(CERTIFICATE).exists();
        // A folder that cannot be written to costs the line, and nothing else.
        if joined {
            let _ = topic.withdraw();
        } else {
            let answer = ask(root);
            match &answer {
                Err(Refusal::Api(error)) if error.unknown() => {
                    _ = unknown_since.get_or_insert_with(Instant::now)
                }
                // Who may not read this is known all the same.
                Err(Refusal::Api(error)) if error.forbidden() => unknown_since = None,
                // No answer says nothing of the token.
                Err(_) => {}
                Ok(()) => unknown_since = None,
            }
            let (state, text) =
                verdict(&answer, unknown_since.map(|since| since.elapsed()).unwrap_or_default());
            let _ = topic.set(state, &text, clock());
        }
        std::thread::sleep(PACE[usize::from(joined)]);
    }
}

/// Asks what everybody may know who is somebody.
fn ask(root: &Path) -> Result<(), Refusal> {
    let client = KubeConfig::load(&root.join(BOOTSTRAP))
        .and_then(|config| Client::new(&config))
        .map_err(|error| Refusal::Unusable(error.to_string()))?;
    client.text("/version").map(drop).map_err(Refusal::Api)
}

/// Why the answer is not what it should be.
#[derive(Debug)]
enum Refusal {
    /// The node's own file.
    Unusable(String),
    /// What the API server says, or the way there.
    Api(ApiError),
}

/// What an answer means; `unknown` is for how long the API server has not known the token.
fn verdict(answer: &Result<(), Refusal>, unknown: Duration) -> (Level, String) {
    match answer {
        Ok(()) => (Level::Waiting, "the kubelet has asked for its certificate and has none yet".to_owned()),
        Err(Refusal::Unusable(why)) => (Level::Failed, why.clone()),
        Err(Refusal::Api(error)) if error.unknown() && unknown < UNKNOWN => (
            Level::Waiting,
            "the API server does not know the bootstrap token (401); in a new cluster the masters put it there soon".to_owned(),
        ),
        Err(Refusal::Api(error)) if error.unknown() => (
            Level::Failed,
            "the API server refuses the bootstrap token (401): it is wrong or has expired; build new media and reinstall"
                .to_owned(),
        ),
        // It knows the token; what it lets it read is another matter.
        Err(Refusal::Api(error)) if error.forbidden() => verdict(&Ok(()), unknown),
        Err(Refusal::Api(error)) => (Level::Waiting, format!("no answer to the kubelet's request: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: Option<u16>) -> Result<(), Refusal> {
        Err(Refusal::Api(ApiError {
            verb: "GET".into(),
            path: "10.0.0.1:6443/version".into(),
            status,
            reason: "timeout".into(),
        }))
    }

    #[test]
    fn a_bad_token_is_a_failure_and_a_silent_server_is_none() {
        let say = |answer| verdict(&answer, UNKNOWN);
        assert_eq!(say(Ok(())).0, Level::Waiting);
        assert_eq!(say(api(Some(403))), say(Ok(())));
        let (level, text) = say(api(Some(401)));
        assert!(level == Level::Failed && text.contains("token"), "{text}");
        // A new cluster has no tokens at first.
        let (level, text) = verdict(&api(Some(401)), UNKNOWN - Duration::from_secs(1));
        assert!(level == Level::Waiting && text.contains("new cluster"), "{text}");
        let (level, text) = say(api(None));
        assert!(level == Level::Waiting && text.contains("10.0.0.1:6443"), "{text}");
        assert_eq!(say(Err(Refusal::Unusable("x".into()))), (Level::Failed, "x".to_owned()));
    }

    #[test]
    fn a_node_without_a_kubelet_has_nothing_to_say() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), || OffsetDateTime::UNIX_EPOCH);
        assert!(!dir.path().join(crate::node::status::TOPICS).exists());
        assert!(matches!(ask(dir.path()), Err(Refusal::Unusable(_))));
    }
}
