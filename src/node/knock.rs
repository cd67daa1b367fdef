//! Before a client of the API starts: waits until an API server answers and lets it read.
//!
//! client-go asks again ever more seldom, up to a minute apart. A kubelet that was there before the cluster would not see the
//! services for up to a minute after it could, and starts no pod meanwhile; a scheduler schedules none. Nothing is decided here:
//! who has been let in once does not knock again.

use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::node::kube::client::{ApiError, Client};
use crate::node::kube::config::KubeConfig;
use crate::node::mend::CERTIFICATES;

/// Folder of the kubeconfigs.
const CONFIG: &str = "opt/kubernetes/cfg";
/// What a kubelet has when it has joined.
const JOINED: &str = "kubelet-client-current.pem";
/// Between two questions: at first, and when there is no hurry any more.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// Questions after which there is no hurry.
const HURRY: u32 = 60;

/// Who is about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Guest {
    /// The kubelet, unless it has joined
    Kubelet,
    /// kube-proxy
    KubeProxy,
    /// The scheduler
    Scheduler,
}

impl Guest {
    fn kubeconfig(self) -> &'static str {
        match self {
            Guest::Kubelet => "bootstrap.kubeconfig",
            Guest::KubeProxy => "kube-proxy.kubeconfig",
            Guest::Scheduler => "scheduler.kubeconfig",
        }
    }

    /// What it may read as soon as it is let in.
    fn question(self) -> &'static str {
        match self {
            Guest::Kubelet => "/version",
            Guest::KubeProxy => "/api/v1/services?limit=1",
            Guest::Scheduler => "/api/v1/nodes?limit=1",
        }
    }

    /// A bootstrap token that is known but may read nothing is good enough: certificates are asked for by it.
    fn is_let_in(self, error: &ApiError) -> bool {
        self == Guest::Kubelet && error.forbidden()
    }
}

/// Waits for ever. A kubelet that has joined is not kept waiting: its pods run without an API too. `say` is told each new reason.
pub fn wait(root: &Path, guest: Guest, say: &mut dyn FnMut(&str)) -> Result<()> {
    if guest == Guest::Kubelet && root.join(CERTIFICATES).join(JOINED).exists() {
        return Ok(());
    }
    let client = Client::new(&KubeConfig::load(&root.join(CONFIG).join(guest.kubeconfig()))?)?;
    knock(&client, guest, say, &mut std::thread::sleep);
    Ok(())
}

fn knock(client: &Client, guest: Guest, say: &mut dyn FnMut(&str), pause: &mut dyn FnMut(Duration)) {
    let mut said = String::new();
    for number in 0u32.. {
        let error = match client.text(guest.question()) {
            Err(error) if !guest.is_let_in(&error) => error.to_string(),
            _ => return,
        };
        if said != error {
            say(&error);
            said = error;
        }
        pause(PAUSES[usize::from(number >= HURRY)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::kube::testing::{Ca, answer, client, serve};

    /// What is said until the guest is let in.
    fn said(guest: Guest, answers: &[&str]) -> Vec<String> {
        let ca = Ca::new();
        let (server, thread) = serve(&ca, answers.iter().map(|status| answer(status, "{}")).collect());
        let mut said = Vec::new();
        knock(&client(&ca, &ca, server), guest, &mut |text| said.push(text.to_owned()), &mut |_| ());
        let asked = thread.join().unwrap();
        assert!(
            asked.iter().all(|head| head.starts_with(&format!("GET {} ", guest.question()))),
            "{asked:?}"
        );
        said
    }

    #[test]
    fn a_guest_waits_until_it_may_read() {
        let answers = ["503 Service Unavailable", "403 Forbidden", "403 Forbidden", "200 OK"];
        for guest in [Guest::KubeProxy, Guest::Scheduler] {
            let said = said(guest, &answers);
            assert!(said.len() == 2 && said[0].contains("503") && said[1].contains("403"), "{said:?}");
        }
    }

    #[test]
    fn a_token_that_is_known_is_enough() {
        assert_eq!(said(Guest::Kubelet, &["401 Unauthorized", "401 Unauthorized", "403 Forbidden"]).len(), 1);
        assert_eq!(said(Guest::Kubelet, &["200 OK"]).len(), 0);
    }

    #[test]
    fn nobody_answers_at_first_often_and_then_seldom() {
        let ca = Ca::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut pauses = Vec::new();
        let stop = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            knock(&client(&ca, &ca, free), Guest::Scheduler, &mut |_| (), &mut |pause| {
                pauses.push(pause);
                assert!(pauses.len() < 62, "enough");
            });
        }));
        assert!(stop.is_err());
        assert_eq!((pauses[59], pauses[60]), (PAUSES[0], PAUSES[1]));
    }

    #[test]
    fn a_kubelet_that_has_joined_does_not_knock() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(CERTIFICATES);
        std::fs::create_dir_all(&folder).unwrap();
        assert!(wait(root.path(), Guest::Kubelet, &mut |_| ()).is_err(), "there is no kubeconfig");
        std::fs::write(folder.join(JOINED), "x").unwrap();
        wait(root.path(), Guest::Kubelet, &mut |_| ()).unwrap();
    }
}
