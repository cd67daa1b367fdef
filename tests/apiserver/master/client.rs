//! What is asked of the master's API server: by kubectl, and by curl where kubectl 1.20 cannot.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use super::Master;
use crate::common::lay::lay;

impl Master {
    /// kubectl as the administrator.
    pub fn kubectl(&self, words: &str) -> Result<String, String> {
        self.kubectl_as(
            &format!("--kubeconfig={}", self.path("opt/kubernetes/cfg/admin.kubeconfig").display()),
            words,
            "",
        )
    }

    /// kubectl with a credential and with input.
    pub fn kubectl_as(&self, credential: &str, words: &str, input: &str) -> Result<String, String> {
        use std::io::Write as _;
        let ca = self.path("opt/kubernetes/ssl/ca.pem");
        let mut command = self.command(&[self.kubectl.to_str().unwrap()]);
        command.args(["--server=https://127.0.0.1:6443", "--cache-dir"]).arg(self.folder("cache"));
        if !credential.starts_with("--kubeconfig") {
            command.arg("--kubeconfig=/dev/null").arg("--certificate-authority").arg(ca);
        }
        command.args(credential.split_whitespace()).args(words.split_whitespace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(format!("kubectl {words}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Objects as JSON.
    pub fn get(&self, what: &str) -> Value {
        let text = self.kubectl(&format!("get -o json --show-managed-fields=false {what}"));
        let text = text
            .or_else(|_| self.kubectl(&format!("get -o json {what}")))
            .unwrap_or_else(|error| panic!("{error}"));
        serde_json::from_str(&text).unwrap()
    }

    /// Changes an object by its path, as the administrator.
    pub fn patch(&self, path: &str, change: &Value) {
        let ssl = self.path("opt/kubernetes/ssl/ca.pem");
        let config = std::fs::read_to_string(self.path("opt/kubernetes/cfg/admin.kubeconfig")).unwrap();
        let folder = self.folder("admin");
        for (key, file) in [("client-certificate-data", "cert.pem"), ("client-key-data", "key.pem")] {
            use base64::Engine as _;
            let line = config.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
            let data = line.trim_start_matches(": \"").trim_end_matches('"');
            std::fs::write(
                folder.join(file),
                base64::engine::general_purpose::STANDARD.decode(data).unwrap(),
            )
            .unwrap();
        }
        let url = format!("https://127.0.0.1:6443{path}");
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let mut curl = self.command(&[
            "curl",
            "-fsS",
            "-X",
            "PATCH",
            "-H",
            "Content-Type: application/merge-patch+json",
        ]);
        curl.arg("--cacert").arg(ssl).arg("--cert").arg(cert).arg("--key").arg(key);
        self.run(curl.arg("-d").arg(change.to_string()).arg(url));
    }

    /// A token of a service account.
    pub fn token(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        let admin = format!("--kubeconfig={}", self.path("opt/kubernetes/cfg/admin.kubeconfig").display());
        let answer =
            self.kubectl_as(&admin, &format!("create --raw {path} -f -"), &request.to_string()).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["status"]["token"].as_str().unwrap().to_owned()
    }

    /// A kubeconfig for a token in a file.
    pub fn kubeconfig(&self, at: &Path, token: &Path) -> PathBuf {
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": {
                "server": "https://127.0.0.1:6443",
                "certificate-authority": self.path("opt/kubernetes/ssl/ca.pem"),
            } }],
            "users": [{ "name": "u", "user": { "tokenFile": token } }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        });
        std::fs::write(at, text.to_string()).unwrap();
        at.to_owned()
    }

    /// The credential by which a worker asks for its first certificate, as flags of kubectl.
    pub fn bootstrap(&self, node: &str) -> String {
        let node = self.cluster.nodes.values().find(|one| one.name.as_str() == node).unwrap();
        let tree = self.pki.node_tree(&self.cluster, node).unwrap();
        let folder = self.folder("worker");
        lay(&tree, &folder);
        let text = std::fs::read_to_string(folder.join("opt/kubernetes/cfg/bootstrap.kubeconfig")).unwrap();
        let token = text.lines().find_map(|line| line.trim().strip_prefix("token: \"")).unwrap();
        format!("--token={}", token.trim_end_matches('"'))
    }

    /// Says that a service is served by this machine, in place of the pods that would.
    pub fn endpoints(&self, namespace: &str, service: &str, port: &str, number: u16) {
        let labels = json!({ "kubernetes.io/service-name": service });
        let old = json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": { "name": service, "namespace": namespace },
            "subsets": [{ "addresses": [{ "ip": "192.168.31.71" }], "ports": [{ "name": port, "port": number }] }],
        });
        let new = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": format!("{service}-test"), "namespace": namespace, "labels": labels },
            "endpoints": [{ "addresses": ["192.168.31.71"], "conditions": { "ready": true } }],
            "ports": [{ "name": port, "port": number }],
        });
        let admin = format!("--kubeconfig={}", self.path("opt/kubernetes/cfg/admin.kubeconfig").display());
        // The service has a selector, so the controller manager takes the Endpoints for its own.
        let patch = format!("patch service {service} -n {namespace} --type=merge -p");
        let mut command = self.command(&[self.kubectl.to_str().unwrap(), &admin]);
        command.args(patch.split_whitespace()).arg(r#"{"spec":{"selector":null}}"#);
        self.run(&mut command);
        for object in [old, new] {
            let outcome = self.kubectl_as(&admin, "apply -f -", &object.to_string());
            // Before 1.21 there is no EndpointSlice of this version.
            assert!(outcome.is_ok() || self.minor() < 21, "{outcome:?}");
        }
    }
}
