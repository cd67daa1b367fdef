//! Lays keys and certificates out as the trees of nodes: each node gets its own and no others.
//!
//! The key of the Kubernetes authority goes to masters alone (the controller manager signs kubelets' requests with it); the
//! keys of the other authorities and the operators' break-glass certificate go to no node.

use super::encryption;
use super::kubeconfig::{self, Credential};
use super::{Authority, JOIN_TOKENS, JoinTokens, Joiner, LeafId, Pair, Pki};
use crate::blob::Blob;
use crate::cluster::model::{Cluster, Node, WorkerPool};
use crate::cluster::types::Role;
use crate::error::{Error, Result};
use crate::tree::{Entry, NodePath, Tree};

/// Where entries of these trees come from.
pub const ORIGIN: &str = "pki";

const ETCD: &str = "/opt/etcd/ssl";
const KUBERNETES: &str = "/opt/kubernetes/ssl";
const KILN: &str = "/opt/kiln/ssl";
const CONFIG: &str = "/opt/kubernetes/cfg";
/// The API server of the machine itself, for what runs on masters.
const LOCAL_API: &str = "https://127.0.0.1:6443";

impl Pki {
    /// What all nodes of a role share: certificates of authorities. Nothing in it is secret. Disjoint from every
    /// [`Pki::node_tree`] and [`Pki::pool_tree`].
    pub fn role_tree(&self, role: Role) -> Result<Tree> {
        let mut tree = Tree::default();
        let ca = self.ca(Authority::Kubernetes)?;
        public(&mut tree, &format!("{KUBERNETES}/ca.pem"), &ca.cert)?;
        public(&mut tree, &format!("{KILN}/ca.pem"), &self.ca(Authority::Kiln)?.cert)?;
        if role == Role::Master {
            public(&mut tree, &format!("{KUBERNETES}/etcd-ca.pem"), &self.ca(Authority::Etcd)?.cert)?;
            public(
                &mut tree,
                &format!("{KUBERNETES}/front-proxy-ca.pem"),
                &self.ca(Authority::FrontProxy)?.cert,
            )?;
            public(&mut tree, &format!("{KUBERNETES}/sa.pub"), &self.service_account.1)?;
        }
        Ok(tree)
    }

    /// What one node gets besides [`Pki::role_tree`]: its certificates, keys and kubeconfigs at their final paths.
    pub fn node_tree(&self, cluster: &Cluster, node: &Node) -> Result<Tree> {
        let mut tree = Tree::default();
        put_pair(&mut tree, &format!("{KILN}/agent"), self.need(&LeafId::node(&node.name, "agent"))?)?;
        if node.etcd {
            public(&mut tree, &format!("{ETCD}/ca.pem"), &self.ca(Authority::Etcd)?.cert)?;
            for (leaf, file) in [("etcd-server", "server"), ("etcd-peer", "peer")] {
                let pair = self.need(&LeafId::node(&node.name, leaf))?;
                put_pair(&mut tree, &format!("{ETCD}/{file}"), pair)?;
            }
        }
        if node.role == Role::Master {
            self.master_secrets(cluster, node, &mut tree)?;
        }
        if node.role != Role::Lb {
            self.bootstrap(cluster, &Joiner::Node(node.name.clone()), &mut tree)?;
            self.kube_proxy(cluster, &LeafId::node(&node.name, "kube-proxy"), &mut tree)?;
        }
        Ok(tree)
    }

    /// What every member of a worker pool gets besides the workers' [`Pki::role_tree`].
    pub fn pool_tree(&self, cluster: &Cluster, pool: &WorkerPool) -> Result<Tree> {
        let mut tree = Tree::default();
        self.bootstrap(cluster, &Joiner::Pool(pool.name.clone()), &mut tree)?;
        self.kube_proxy(cluster, &LeafId::pool(&pool.name, "kube-proxy"), &mut tree)?;
        put_pair(&mut tree, &format!("{KILN}/agent"), self.need(&LeafId::pool(&pool.name, "agent"))?)?;
        Ok(tree)
    }

    fn master_secrets(&self, cluster: &Cluster, node: &Node, tree: &mut Tree) -> Result<()> {
        let leaves = [
            "apiserver",
            "apiserver-kubelet-client",
            "apiserver-etcd-client",
            "etcd-healthcheck-client",
            "front-proxy-client",
        ];
        for leaf in leaves {
            let pair = self.need(&LeafId::node(&node.name, leaf))?;
            put_pair(tree, &format!("{KUBERNETES}/{leaf}"), pair)?;
        }
        let ca = self.ca(Authority::Kubernetes)?;
        secret(tree, &format!("{KUBERNETES}/ca-key.pem"), ca.key.expose())?;
        secret(tree, &format!("{KUBERNETES}/sa.key"), self.service_account.0.expose())?;
        secret(tree, &format!("{CONFIG}/encryption.yml"), &encryption::configuration(&self.encryption))?;
        secret(tree, JOIN_TOKENS, &JoinTokens::of(self, cluster)?.to_json()?)?;
        for (leaf, user) in [
            ("controller-manager", "system:kube-controller-manager"),
            ("scheduler", "system:kube-scheduler"),
            ("kiln-approver", "kiln-approver"),
        ] {
            let pair = self.need(&LeafId::node(&node.name, leaf))?;
            self.kubeconfig(cluster, leaf, LOCAL_API, user, pair, tree)?;
        }
        let admin = self.need(&LeafId::operator("admin"))?;
        self.kubeconfig(cluster, "admin", LOCAL_API, "kubernetes-admin", admin, tree)
    }

    /// The kubeconfig with which a kubelet asks for its first certificate, by the joiner's own token.
    fn bootstrap(&self, cluster: &Cluster, joiner: &Joiner, tree: &mut Tree) -> Result<()> {
        let text = kubeconfig::write(
            cluster.name.as_str(),
            &api_url(cluster),
            &self.ca(Authority::Kubernetes)?.cert,
            "kubelet-bootstrap",
            &Credential::Token(self.token.derive(joiner)?.expose()),
        );
        secret(tree, &format!("{CONFIG}/bootstrap.kubeconfig"), &text)
    }

    fn kube_proxy(&self, cluster: &Cluster, id: &LeafId, tree: &mut Tree) -> Result<()> {
        let pair = self.need(id)?;
        self.kubeconfig(cluster, "kube-proxy", &api_url(cluster), "system:kube-proxy", pair, tree)
    }

    fn kubeconfig(
        &self,
        cluster: &Cluster,
        file: &str,
        server: &str,
        user: &str,
        pair: &Pair,
        tree: &mut Tree,
    ) -> Result<()> {
        let ca = &self.ca(Authority::Kubernetes)?.cert;
        let credential = Credential::Certificate(&pair.cert, &pair.key);
        let text = kubeconfig::write(cluster.name.as_str(), server, ca, user, &credential);
        secret(tree, &format!("{CONFIG}/{file}.kubeconfig"), &text)
    }

    fn ca(&self, which: Authority) -> Result<&Pair> {
        self.authority(which).ok_or_else(|| Error::internal("an authority was not read"))
    }

    fn need(&self, id: &LeafId) -> Result<&Pair> {
        self.leaf(id).ok_or_else(|| {
            Error::input(format!("the certificate {id} has not been issued"))
                .hint("`kiln pki init` issues what the cluster file wants")
        })
    }
}

/// Where clients on other machines reach the API.
fn api_url(cluster: &Cluster) -> String {
    format!("https://{}:{}", cluster.vip, cluster.api_port())
}

fn put_pair(tree: &mut Tree, stem: &str, pair: &Pair) -> Result<()> {
    public(tree, &format!("{stem}.pem"), &pair.cert)?;
    secret(tree, &format!("{stem}-key.pem"), pair.key.expose())
}

fn public(tree: &mut Tree, path: &str, text: &str) -> Result<()> {
    tree.insert(NodePath::new(path)?, Entry::file(0o644, Blob::bytes(text.as_bytes()), ORIGIN))
}

fn secret(tree: &mut Tree, path: &str, text: &str) -> Result<()> {
    tree.insert(NodePath::new(path)?, Entry::file(0o600, Blob::bytes(text.as_bytes()), ORIGIN).secret())
}
