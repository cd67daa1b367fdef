//! Keys and signatures by themselves; against Debian's `minisign` they are tested in `tests/build/signed.rs`.

use super::*;
use crate::progress::Silent;

fn no_password() -> Result<String> {
    Err(Error::input("a password was asked for"))
}

#[test]
fn what_is_signed_verifies_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let created = create(None).unwrap();
    save(&created, &at("k"), &at("k.pub")).unwrap();
    std::fs::write(at("f"), b"content").unwrap();
    let key = SecretKey::load(&at("k"), &no_password).unwrap();
    put(&beside(&at("f")), &key.sign(&at("f"), "file:f", &Silent).unwrap()).unwrap();
    let public = PublicKey::load(&at("k.pub")).unwrap();
    let verify = || public.verify(&at("f"), &at("f.minisig"), &Silent);
    let found = verify().unwrap();
    assert_eq!(found, Verified { key: created.id, comment: "file:f".into() });
    let good = std::fs::read_to_string(at("f.minisig")).unwrap();
    for (from, to, word) in [
        ("file:f", "file:g", "was changed"),
        ("trusted comment: file", "comment: file", "no signature"),
        (good.lines().nth(1).unwrap(), "AAAA", "no signature"),
        (good.lines().nth(3).unwrap(), "AAAA", "no signature"),
    ] {
        std::fs::write(at("f.minisig"), good.replace(from, to)).unwrap();
        let error = verify().unwrap_err();
        assert!(error.to_string().contains(word) && error.class() == Class::Input, "{to}: {error}");
    }
    std::fs::write(at("f.minisig"), &good).unwrap();
    std::fs::write(at("f"), b"content.").unwrap();
    assert!(verify().unwrap_err().to_string().contains("was changed"));
    save(&create(None).unwrap(), &at("o"), &at("o.pub")).unwrap();
    let other = PublicKey::load(&at("o.pub")).unwrap();
    let error = other.verify(&at("f"), &at("f.minisig"), &Silent).unwrap_err();
    assert!(error.to_string().contains("of another key"), "{error}");
}

#[test]
fn a_password_is_needed_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    save(&create(Some("a word".into())).unwrap(), &at("k"), &at("k.pub")).unwrap();
    let load = |word: &'static str| SecretKey::load(&at("k"), &move || Ok(word.to_owned()));
    let key = load("a word").unwrap();
    assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.id()));
    let error = load("another").unwrap_err();
    assert!(error.to_string().contains("Wrong password") && error.class() == Class::Input, "{error}");
    assert!(SecretKey::load(&at("k"), &no_password).unwrap_err().to_string().contains("was asked for"));
}

/// A bit of a key that changed is noticed before anything is signed, also where there is no checksum.
#[test]
fn damaged_keys_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    save(&create(None).unwrap(), &at("k"), &at("k.pub")).unwrap();
    let text = std::fs::read_to_string(at("k")).unwrap();
    let good = second_line(&text).unwrap();
    let load = |bytes: &[u8]| {
        let body = base64::engine::general_purpose::STANDARD.encode(bytes);
        std::fs::write(at("x"), format!("untrusted comment: x\n{body}\n")).unwrap();
        SecretKey::load(&at("x"), &no_password)
    };
    let mut plain = good.clone();
    plain[CHECKSUM].fill(0);
    for whole in [good, plain] {
        assert_eq!(load(&whole).unwrap().id(), PublicKey::load(&at("k.pub")).unwrap().id());
        for bit in [62, 100, 125] {
            let mut bad = whole.clone();
            bad[bit] ^= 1;
            assert_eq!(load(&bad).unwrap_err().class(), Class::Input, "{bit}");
        }
    }
}

#[test]
fn files_that_are_no_keys_are_refused_and_none_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let created = create(None).unwrap();
    save(&created, &at("k"), &at("k.pub")).unwrap();
    let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("k"), mode("k.pub") & 0o600), (0o600, 0o600));
    let error = save(&created, &at("k"), &at("new.pub")).unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    let error = save(&created, &at("new"), &at("k.pub")).unwrap_err();
    assert!(error.to_string().contains("k.pub exists already") && !at("new").exists(), "{error}");
    let secret = std::fs::read_to_string(at("k")).unwrap();
    let cut = format!("{}\n{}\n", secret.lines().next().unwrap(), &secret.lines().nth(1).unwrap()[..40]);
    for bad in ["", "a\n", "a\nAAAA\n", "a\n!\n", &cut, &"x".repeat(9000)] {
        std::fs::write(at("bad"), bad).unwrap();
        assert!(SecretKey::load(&at("bad"), &|| Ok("x".into())).is_err(), "{bad:?}");
        assert!(PublicKey::load(&at("bad")).is_err(), "{bad:?}");
        assert!(check_place(&at("bad")).is_err(), "{bad:?}");
    }
    assert!(PublicKey::load(&at("k")).is_err() && check_place(&at("k")).is_err());
    check_place(&at("nothing")).unwrap();
}
