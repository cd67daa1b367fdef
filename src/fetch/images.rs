//! Which container images a cluster needs: `profiles/images.toml` as checked data, and what the cluster file adds. Knows no
//! folder and no digest; [`super::archives`] does.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::assets::Assets;
use crate::cluster::model::Cluster;
use crate::error::{Error, Result};
use crate::format::oci::Reference;
use crate::profile::{Condition, Facts};

/// Where the list lies among kiln's assets.
pub const FILE: &str = "profiles/images.toml";

/// Images that a cluster needs, and what each is for.
pub type Wanted = BTreeMap<Reference, String>;

/// All images that kiln knows.
#[derive(Debug, Clone)]
pub struct Images {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    purpose: String,
    name: Reference,
    is: Condition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImages {
    image: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    r#for: String,
    name: String,
    #[serde(default)]
    is: Condition,
}

impl Images {
    /// The list among kiln's assets, or the user's own in its place.
    pub fn load(assets: &Assets) -> Result<Self> {
        Self::parse(&assets.origin(FILE), &assets.text(FILE)?)
    }

    /// Reads a list; `file` names it in errors.
    pub fn parse(file: &Path, text: &str) -> Result<Self> {
        let raw: RawImages = toml::from_str(text)
            .map_err(|error| Error::input(format!("{} cannot be read", file.display())).because(error))?;
        let rules = raw.image.into_iter().map(check).collect::<Result<_, String>>();
        let rules = rules.map_err(|why| {
            Error::input(format!("{}: {why}", file.display())).hint("docs/images.md lists all keys")
        })?;
        Ok(Self { rules })
    }

    /// The images of a cluster by what they are for: what templates call `images`.
    pub fn by_purpose(&self, cluster: &Cluster) -> BTreeMap<String, String> {
        let facts = Facts::of(cluster, false);
        let rules = self.rules.iter().filter(|rule| rule.is.holds(&facts));
        rules.map(|rule| (rule.purpose.clone(), rule.name.to_string())).collect()
    }

    /// All images of a cluster, those that its file adds among them.
    pub fn wanted(&self, cluster: &Cluster) -> Wanted {
        let facts = Facts::of(cluster, false);
        let rules = self.rules.iter().filter(|rule| rule.is.holds(&facts));
        let own = cluster.components.images.iter().map(|name| (name.clone(), "the cluster file".to_owned()));
        own.chain(rules.map(|rule| (rule.name.clone(), rule.purpose.clone()))).collect()
    }
}

fn check(raw: RawRule) -> Result<Rule, String> {
    // A template says `images.PURPOSE`.
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    if raw.r#for.is_empty() || !raw.r#for.chars().all(plain) {
        return Err(format!(
            "`{}` is no purpose: write lower-case letters and `_`",
            raw.r#for.escape_debug()
        ));
    }
    let name = raw.name.parse()?;
    raw.is.fault().map_or(Ok(()), Err)?;
    Ok(Rule { purpose: raw.r#for, name, is: raw.is })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(kubernetes: &str) -> Cluster {
        let text = crate::cluster::SAMPLE.replace("1.37.2", kubernetes);
        // The one release on which all minors run, with leave.
        let text =
            text.replace("centos-stream-9", "centos-7").replace("vip =", "allow_unsupported = true\nvip =");
        crate::cluster::parse(Path::new("cluster.toml"), &text).unwrap().0
    }

    #[test]
    fn every_minor_has_one_image_for_each_purpose() {
        let images = Images::load(&Assets::new(None).unwrap()).unwrap();
        for minor in 18..=37 {
            let cluster = cluster(&format!("1.{minor}.0"));
            let (wanted, named) = (images.wanted(&cluster), images.by_purpose(&cluster));
            // Two rules for one purpose would both be wanted, and one of them be hidden from templates.
            assert_eq!(wanted.len(), named.len(), "1.{minor}: {wanted:?}");
            assert!(["coredns", "metrics_server", "pause"].iter().all(|key| named.contains_key(*key)));
            // The runtime's configuration names the sandbox image by the same rule.
            let gates = crate::plan::gates::Gates::new(&cluster, &BTreeMap::new());
            let gates = serde_json::to_value(gates).unwrap();
            assert_eq!(gates["sandbox_image"], named["pause"].as_str(), "1.{minor}");
        }
    }

    #[test]
    fn bridge_mode_wants_no_flannel() {
        let images = Images::load(&Assets::new(None).unwrap()).unwrap();
        let mut cluster = cluster("1.37.2");
        let all = images.by_purpose(&cluster).len();
        cluster.pod_network = crate::cluster::model::PodNetwork::Bridge;
        let few = images.by_purpose(&cluster);
        assert_eq!(few.len(), all - 2);
        assert!(
            few.contains_key("coredns") && !few.contains_key("flannel") && !few.contains_key("flannel_cni")
        );
    }

    #[test]
    fn the_cluster_file_adds_its_own() {
        let mut cluster = cluster("1.37.2");
        cluster.components.images = vec!["busybox:1.36".parse().unwrap()];
        let images = Images::load(&Assets::new(None).unwrap()).unwrap();
        let wanted = images.wanted(&cluster);
        assert_eq!(wanted[&"docker.io/library/busybox:1.36".parse().unwrap()], "the cluster file");
    }

    #[test]
    fn mistakes_are_named() {
        let parse = |text: &str| Images::parse(Path::new("images.toml"), text).map(|_| ()).unwrap_err();
        for (text, word) in [
            ("[[image]]\nfor = \"Pause\"\nname = \"a:1\"", "no purpose"),
            ("[[image]]\nfor = \"a\"\nname = \"A:1\"", "no name of an image"),
            ("[[image]]\nfor = \"a\"\nname = \"a:1\"\nis = { runtime = \"crio\" }", "containerd, docker"),
        ] {
            let error = parse(text);
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
        assert!(
            parse("[[image]]\nfor = \"a\"\nname = \"a:1\"\nwhat = 1").to_string().contains("cannot be read")
        );
    }
}
