//! The bill of materials of a medium, judged by the SPDX workgroup's own tools.

use std::process::Command;

use serde_json::Value;

use crate::bases;
use crate::project::{PROFILES, Project, sha256};

/// Checks a document with `pyspdxtools`.
pub fn judged(project: &Project, name: &str, text: &str) -> Value {
    let path = project.beside("sbom").join(format!("{name}.spdx.json"));
    std::fs::write(&path, text).unwrap();
    bases::run(Command::new("pyspdxtools").arg("-i").arg(&path));
    serde_json::from_str(text).unwrap()
}

/// The entry of a list that has a value.
#[track_caller]
fn with<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|entry| entry[key] == value);
    found.unwrap_or_else(|| panic!("no {key} {value} in {list}"))
}

/// The value of a checksum.
#[track_caller]
fn sum<'a>(entry: &'a Value, algorithm: &str) -> &'a str {
    with(&entry["checksums"], "algorithm", algorithm)["checksumValue"].as_str().unwrap()
}

#[test]
fn a_bill_names_what_lies_on_the_medium() {
    let project = Project::new();
    for profile in PROFILES {
        let medium = project.build(profile);
        let medium = medium.to_str().unwrap();
        let text = project.pass(&["inspect", "--sbom", medium]).out;
        assert_eq!(project.pass(&["inspect", "--sbom", medium]).out, text, "the same medium, the same bill");
        let bill = judged(&project, profile, &text);
        let told: Value = serde_json::from_str(&project.pass(&["inspect", "--json", medium]).out).unwrap();
        assert!(
            bill["documentNamespace"].as_str().unwrap().ends_with(told["kiln"]["build_id"].as_str().unwrap())
        );
        for (path, file) in told["kiln"]["files"].as_object().unwrap() {
            let listed = with(&bill["files"], "fileName", &format!(".{path}"));
            assert_eq!(sum(listed, "SHA256"), file["sha256"].as_str().unwrap(), "{path}");
        }
        with(&bill["files"], "fileName", "./kiln/manifest.json");
        assert_eq!(with(&bill["packages"], "name", "kiln")["licenseDeclared"], "Apache-2.0");
        assert!(
            !text.contains(".pem") && !text.contains("kubeconfig"),
            "what archives of nodes hold is not told"
        );
    }
}

#[test]
fn components_and_images_have_versions_and_digests() {
    let project = Project::new();
    let medium = project.build("worker");
    let bill =
        judged(&project, "worker", &project.pass(&["inspect", "--sbom", medium.to_str().unwrap()]).out);
    let runc = with(&bill["packages"], "name", "runc");
    assert_eq!(
        (runc["versionInfo"].as_str(), runc["licenseDeclared"].as_str()),
        (Some("1.1.5"), Some("Apache-2.0"))
    );
    assert_eq!(with(&bill["packages"], "name", "kubernetes")["versionInfo"], "1.20.2");
    let pause = with(&bill["packages"], "name", "registry.k8s.io/pause");
    assert_eq!(pause["versionInfo"], "3.2");
    let digest = sum(pause, "SHA256");
    assert!(pause["externalRefs"][0]["referenceLocator"].as_str().unwrap().contains(digest), "{pause}");
    let kubelet = project.component("kubernetes/1.20.2/kubelet");
    let listed = with(&bill["files"], "fileName", "./opt/kubernetes/bin/kubelet");
    assert_eq!(sum(listed, "SHA256"), sha256(&kubelet));
    let sha1 = bases::run(Command::new("sha1sum").arg(&kubelet));
    assert_eq!(sum(listed, "SHA1"), &sha1[..40]);
    // The verification code of a package of one file, by another program.
    let file = project.component("runc/1.1.5/runc");
    let script = "printf %s \"$(sha1sum < \"$1\" | cut -c-40)\" | sha1sum | cut -c-40";
    let code = bases::run(Command::new("sh").args(["-c", script, "sh"]).arg(&file));
    assert_eq!(runc["packageVerificationCode"]["packageVerificationCodeValue"], code.trim());
    // Media without programs of masters do not name them.
    assert!(!bill.to_string().contains("kube-apiserver"));
}

#[test]
fn no_bill_is_made_of_what_was_changed_or_is_no_medium() {
    let project = Project::new();
    let medium = project.build("lb");
    let mut bytes = std::fs::read(&medium).unwrap();
    let program = std::fs::read(crate::project::KILN).unwrap();
    let at = bytes.windows(4096).position(|window| window == &program[..4096]).unwrap();
    bytes[at + 100_000] ^= 1;
    let bad = project.beside("bad").join("x.iso");
    std::fs::write(&bad, bytes).unwrap();
    for (file, word) in
        [(bad.to_str().unwrap(), "/kiln/kiln is not what"), ("base.iso", "kiln did not make it")]
    {
        let done = project.run(&["inspect", "--sbom", file]);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{}", done.err);
        assert!(done.err.contains(word), "{}", done.err);
    }
}
