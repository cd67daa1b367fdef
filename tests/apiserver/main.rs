//! What kiln does to a real API server: addons, tokens and requests for certificates, against etcd, kube-apiserver and
//! kube-controller-manager as the rendered tree of a master starts them.
//!
//! `cargo test --features heavy --test apiserver` (root, for namespaces of its own). It needs the programs in `components` and
//! `components-1.37.2`, which `make components` fills; without them a version is left out, and that is said loudly.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod master;

#[path = "../common/mod.rs"]
mod common;

use std::time::Duration;

use base64::Engine as _;
use master::Master;
use serde_json::{Value, json};

/// A master that runs, unless there are no programs for this version.
fn master(kubernetes: &str) -> Option<Master> {
    let folder =
        if kubernetes == "1.20.2" { "components".to_owned() } else { format!("components-{kubernetes}") };
    let components = common::root().join(&folder);
    if !components.join("kubernetes").join(kubernetes).is_dir() {
        eprintln!(
            "\n*** LEFT OUT: Kubernetes {kubernetes}: there is no {folder}; `make components KUBERNETES={kubernetes}` ***\n"
        );
        return None;
    }
    Some(Master::start(&components, kubernetes))
}

#[test]
fn addons_and_approver_on_1_20() {
    if let Some(master) = master("1.20.2") {
        all(&master);
    }
}

#[test]
fn addons_and_approver_on_1_37() {
    if let Some(master) = master("1.37.2") {
        all(&master);
    }
}

fn all(master: &Master) {
    addons_are_applied_once_and_for_all(master);
    metrics_server_is_verified(master);
    requests_are_judged(master);
    routes_are_made(master);
    the_operator_sees_it(master);
    master.stays();
}

fn addons_are_applied_once_and_for_all(master: &Master) {
    master.until("the addons to be applied", Duration::from_secs(120), || master.node("addons"));
    let objects = |master: &Master| -> Vec<Value> {
        let kinds = "deployments,daemonsets,services,configmaps,serviceaccounts,secrets,roles,rolebindings";
        let mut all = master.get(&format!("{kinds} -n kube-system"))["items"].as_array().unwrap().clone();
        let wide = master.get("clusterroles,clusterrolebindings,apiservices");
        all.extend(wide["items"].as_array().unwrap().clone());
        // The control plane's own: roles that it sums up, states, and who wrote what, which 1.20 forgets for accounts.
        all.retain(|item| item.get("aggregationRule").is_none());
        for item in &mut all {
            item.as_object_mut().unwrap().remove("status");
            let metadata = item["metadata"].as_object_mut().unwrap();
            metadata.retain(|key, _| key != "managedFields" && key != "resourceVersion");
        }
        all
    };
    // Its controller marks a deployment that it has taken on, and takes its time where it must be elected first.
    master.until("the deployment controller to act", Duration::from_secs(120), || {
        let marks = master.get("deployment coredns -n kube-system")["metadata"]["annotations"].clone();
        marks.get("deployment.kubernetes.io/revision").map(drop).ok_or_else(|| marks.to_string())
    });
    master.settled(|| objects(master));
    let before = objects(master);
    master.node("addons").unwrap();
    let after = objects(master);
    for was in &before {
        let same = after.iter().find(|is| named(is) == named(was));
        assert_eq!(Some(was), same, "applying it again changes something");
    }
    // The controller manager makes accounts and their tokens when it comes to it; anything else would be the addons'.
    let accounts =
        |is: &&Value| is["kind"] == "ServiceAccount" || is["type"] == "kubernetes.io/service-account-token";
    let known = |is: &&Value| before.iter().any(|was| named(was) == named(is));
    let new: Vec<_> = after.iter().filter(|is| !known(is) && !accounts(is)).map(named).collect();
    assert!(new.is_empty(), "applying it again makes {new:?}");

    let admins = master.get("clusterrolebinding kubeadm:cluster-admins");
    assert_eq!(admins["subjects"][0]["name"], "kubeadm:cluster-admins");
    let dns = master.get("service kube-dns -n kube-system");
    assert_eq!(dns["spec"]["clusterIP"], "10.96.0.10");
    // One token each for the master, two workers and the pool.
    let secrets = master.get("secrets -n kube-system --field-selector type=bootstrap.kubernetes.io/token");
    assert_eq!(secrets["items"].as_array().unwrap().len(), 4);
}

/// Kind and name of an object.
fn named(object: &Value) -> (&str, &str) {
    (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

/// The API server reaches metrics-server over TLS that it verifies: the address of the service is this machine's for the while.
fn metrics_server_is_verified(master: &Master) {
    let service = master.get("apiservice v1beta1.metrics.k8s.io");
    assert!(service["spec"].get("insecureSkipTLSVerify").is_none_or(|value| value == false), "{service}");
    let address = master.get("service metrics-server -n kube-system")["spec"]["clusterIP"].clone();
    let address = address.as_str().unwrap();
    master.inside(&["ip", "address", "add", &format!("{address}/32"), "dev", "lo"]);
    let token = master.token("kube-system", "metrics-server");
    let secret = master.get("secret metrics-server-tls -n kube-system");
    let deployment = master.get("deployment metrics-server -n kube-system");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let folder = master.folder("metrics-server");
    for name in ["tls.crt", "tls.key"] {
        let data =
            base64::engine::general_purpose::STANDARD.decode(secret["data"][name].as_str().unwrap()).unwrap();
        std::fs::write(folder.join(name), data).unwrap();
    }
    // As in the pod: an account's token, the authority of the cluster. The flags are the pod's own.
    std::fs::copy(master.path("opt/kubernetes/ssl/ca.pem"), folder.join("ca.crt")).unwrap();
    std::fs::write(folder.join("token"), token).unwrap();
    let program = master.out_of_image(container["image"].as_str().unwrap(), "metrics-server");
    let mut words: Vec<String> = vec![program.to_str().unwrap().to_owned()];
    for word in container["args"].as_array().unwrap() {
        let here = folder.to_str().unwrap();
        let word = word.as_str().unwrap().replace("/etc/metrics-server", here);
        let word = word.replace("/var/run/secrets/kubernetes.io/serviceaccount", here);
        words.push(word.replace("--secure-port=4443", "--secure-port=443"));
    }
    let config = master.kubeconfig(&folder.join("kubeconfig"), &folder.join("token"));
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        words.push(format!("--{flag}={}", config.display()));
    }
    words.push(format!("--bind-address={address}"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    master.endpoints("kube-system", "metrics-server", "https", 443);
    master.spawn("metrics-server", &words);
    master.until("the API of metrics to be available", Duration::from_secs(90), || {
        let service = master.get("apiservice v1beta1.metrics.k8s.io");
        let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
        match conditions.iter().any(|item| item["type"] == "Available" && item["status"] == "True") {
            true => Ok(()),
            false => Err(format!("{conditions:?}")),
        }
    });
    let nodes = master.kubectl("get --raw /apis/metrics.k8s.io/v1beta1/nodes").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&nodes).unwrap()["kind"], "NodeMetricsList");
}

/// A kubelet's way in, as kubelets ask for it: first a client certificate by its token, then a serving one as the node.
fn requests_are_judged(master: &Master) {
    let (name, address) = ("k8s-node1", "192.168.31.72");
    let token = master.bootstrap(name);
    let client =
        |node: &str| Asked { user: format!("system:node:{node}"), addresses: vec![], usage: "client auth" };
    ask(master, "wrong", &token, &client("k8s-master1"));
    ask(master, "right", &token, &client(name));
    master.node("approve").unwrap();
    let verdict = |request: &str| {
        let object = master.get(&format!("csr {request}"));
        let condition = &object["status"]["conditions"][0];
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        (text("type"), text("reason"), text("message"))
    };
    let (kind, reason, message) = verdict("wrong");
    assert_eq!((kind.as_str(), reason.as_str()), ("Denied", "KilnRefused"), "{message}");
    assert!(message.contains("(identity)") && message.contains("k8s-master1"), "{message}");
    let (kind, reason, message) = verdict("right");
    assert_eq!((kind.as_str(), reason.as_str()), ("Approved", "KilnApproved"), "{message}");
    let record = master.get("configmap kiln-bootstrap-identities -n kube-system");
    assert_eq!(record["data"], json!({ name: format!("node/{name}") }));

    let cert = issued(master, "right");
    let key = master.folder("csr").join("right.key");
    let node = format!("--client-certificate={} --client-key={}", cert.display(), key.display());
    let serving = |addresses: &[&str]| Asked {
        user: format!("system:node:{name}"),
        addresses: addresses.iter().map(|one| (*one).to_owned()).collect(),
        usage: "server auth",
    };
    ask(master, "serving", &node, &serving(&[address]));
    ask(master, "stolen", &node, &serving(&[address, "192.168.31.71"]));
    master.node("approve").unwrap();
    let (kind, _, message) = verdict("serving");
    assert_eq!(kind, "Approved", "{message}");
    let (kind, _, message) = verdict("stolen");
    assert!(kind == "Denied" && message.contains("(address)"), "{kind}: {message}");
    let text = master.run(
        std::process::Command::new("openssl")
            .args(["x509", "-noout", "-text", "-in"])
            .arg(issued(master, "serving")),
    );
    assert!(
        text.contains("IP Address:192.168.31.72") && text.contains("TLS Web Server Authentication"),
        "{text}"
    );
    let board: Value =
        serde_json::from_slice(&std::fs::read(master.path("run/kiln/status.d/joining.json")).unwrap())
            .unwrap();
    assert_eq!(board["state"], "warn", "{board}");
}

/// kube-proxy's credential may list nodes, and what they say becomes routes and a CNI configuration.
fn routes_are_made(master: &Master) {
    let admin = format!("--kubeconfig={}", master.path("opt/kubernetes/cfg/admin.kubeconfig").display());
    for (name, range, address) in [
        ("k8s-master1", "10.244.0.0/24", "192.168.31.71"),
        ("k8s-node1", "10.244.1.0/24", "192.168.31.72"),
        ("k8s-node2", "10.244.2.0/24", "192.168.31.99"),
    ] {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "spec": { "podCIDR": range },
        });
        master.kubectl_as(&admin, "create -f -", &node.to_string()).unwrap();
        let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
        let path = format!("/api/v1/nodes/{name}/status");
        master.patch(&path, &status);
    }
    // The inventory is that of a cluster with flannel; this machine has kube-proxy's kubeconfig for the VIP.
    for (file, from, to) in [
        ("opt/kiln/cluster.json", "\"flannel\"", "\"bridge\""),
        ("opt/kubernetes/cfg/kube-proxy.kubeconfig", "https://192.168.31.88:16443", "https://127.0.0.1:6443"),
    ] {
        let text = std::fs::read_to_string(master.path(file)).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(master.path(file), text.replace(from, to)).unwrap();
    }
    master.node("routes").unwrap();
    let routes = master.inside(&["ip", "route", "show", "proto", "137"]);
    assert!(
        routes.starts_with("10.244.1.0/24 via 192.168.31.72 ") && routes.lines().count() == 1,
        "{routes}"
    );
    let cni = std::fs::read_to_string(master.path("etc/cni/net.d/10-kiln.conflist")).unwrap();
    assert!(cni.contains("10.244.0.0/24"), "{cni}");
    let board = std::fs::read_to_string(master.path("run/kiln/status.d/routes.json")).unwrap();
    assert!(board.contains("k8s-node2") && board.contains("\"warn\""), "{board}");
}

/// `kiln watch` with the administrators' kubeconfig.
fn the_operator_sees_it(master: &Master) {
    let config = master.path("opt/kubernetes/cfg/admin.kubeconfig");
    let words =
        [env!("CARGO_BIN_EXE_kiln"), "watch", "--once", "--json", "--kubeconfig", config.to_str().unwrap()];
    let output = master.command(&words).output().unwrap();
    // No kubelet runs here, so the nodes are not ready.
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let board: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(board["nodes"].as_array().unwrap().len(), 3, "{board}");
    assert_eq!(board["well"], false);
    assert!(board["refused"].to_string().contains("(identity)"), "{board}");
    let ends = board["ends"].to_string();
    assert!(ends.contains("bootstrap tokens") && ends.contains("kubernetes-admin"), "{ends}");
    assert!(board["workloads"].to_string().contains("kube-system/metrics-server"), "{board}");
}

/// What a request asks for.
struct Asked {
    user: String,
    addresses: Vec<String>,
    usage: &'static str,
}

/// Files a request, by the credential that kubectl's flags name.
fn ask(master: &Master, request: &str, credential: &str, asked: &Asked) {
    let folder = master.folder("csr");
    let (key, csr) = (folder.join(format!("{request}.key")), folder.join(format!("{request}.csr")));
    let mut openssl = std::process::Command::new("openssl");
    openssl.args([
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
    ]);
    openssl.arg(key).arg("-subj").arg(format!("/O=system:nodes/CN={}", asked.user)).arg("-out").arg(&csr);
    if !asked.addresses.is_empty() {
        let names: Vec<String> = asked.addresses.iter().map(|one| format!("IP:{one}")).collect();
        let host = asked.user.strip_prefix("system:node:").unwrap();
        openssl.arg("-addext").arg(format!("subjectAltName=DNS:{host},{}", names.join(",")));
    }
    master.run(&mut openssl);
    let signer =
        if asked.usage == "client auth" { "kube-apiserver-client-kubelet" } else { "kubelet-serving" };
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "name": request },
        "spec": {
            "signerName": format!("kubernetes.io/{signer}"),
            // As kubelets write it for such a key: since 1.27 without, before that the signer wants it.
            "usages": if master.minor() < 27 {
                vec!["digital signature", "key encipherment", asked.usage]
            } else {
                vec!["digital signature", asked.usage]
            },
            "request": base64::engine::general_purpose::STANDARD.encode(std::fs::read(csr).unwrap()),
        },
    });
    master.kubectl_as(credential, "create -f -", &object.to_string()).unwrap();
}

/// The certificate that the controller manager signed.
fn issued(master: &Master, request: &str) -> std::path::PathBuf {
    let path = master.folder("csr").join(format!("{request}.pem"));
    master.until("the certificate to be signed", Duration::from_secs(60), || {
        let object = master.get(&format!("csr {request}"));
        let text = object["status"]["certificate"].as_str().ok_or_else(|| object["status"].to_string())?;
        let pem =
            base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| error.to_string())?;
        std::fs::write(&path, pem).map_err(|error| error.to_string())
    });
    path
}
