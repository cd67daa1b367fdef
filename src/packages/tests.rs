//! Lists held against small worlds of packages.

use super::resolve::FileSource;
use super::*;
use crate::error::{Class, Result};
use crate::format::repodata::Offered;
use crate::format::rpm::{Dependency, Evr, FileEntry, FileKind, Package, Sense};

fn dependency(text: &str) -> Dependency {
    let words: Vec<&str> = text.split(' ').collect();
    let sense = words.get(1).map(|sign| match *sign {
        ">=" => Sense::GreaterEqual,
        "<" => Sense::Less,
        _ => Sense::Equal,
    });
    let range = sense.map(|sense| (sense, Evr::parse(words[2])));
    // A rich dependency has blanks of its own.
    if text.starts_with('(') {
        Dependency::on(text)
    } else {
        Dependency { range, ..Dependency::on(words[0]) }
    }
}

/// `name`, perhaps `.arch` and `=version`, then what it `+`provides, `/files` and requires.
fn offer(text: &str) -> Offered {
    let mut parts = text.split(", ");
    let head = parts.next().unwrap();
    let (name, evr) = head.split_once('=').unwrap_or((head, "1-1"));
    let (name, arch) = name.rsplit_once('.').unwrap_or((name, "x86_64"));
    let mut package =
        Package { name: name.into(), arch: arch.into(), evr: Evr::parse(evr), ..Package::default() };
    for part in parts {
        match (part.strip_prefix('+'), part.strip_prefix("has ")) {
            (Some(provided), _) => package.provides.push(dependency(provided)),
            (_, Some(path)) => package.files.push(FileEntry { path: path.into(), kind: FileKind::File }),
            _ => package.requires.push(dependency(part)),
        }
    }
    Offered { package, id: head.to_owned(), location: String::new() }
}

fn comps() -> Comps {
    Comps { groups: ["core".to_owned()].into(), environments: ["minimal-environment".to_owned()].into() }
}

fn asked(names: &[&str]) -> Vec<Asked> {
    names.iter().map(|name| Asked { name: (*name).into(), by: "profiles/x.toml".into() }).collect()
}

fn with(world: &[&str], names: &[&str], el: u8, files: &mut FileSource<'_>) -> Result<()> {
    let mut universe = Universe::default();
    for text in world {
        universe.add(0, offer(text)).unwrap();
    }
    resolve(&mut universe, &comps(), &asked(names), el, files)
}

fn look(world: &[&str], names: &[&str]) -> Result<()> {
    with(world, names, 9, &mut |_, _| Ok(()))
}

#[track_caller]
fn refused(world: &[&str], names: &[&str], expected: &str) {
    let error = look(world, names).unwrap_err();
    assert_eq!(error.class(), Class::Input);
    assert!(error.hint_text().is_some());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn all_names_that_are_missing_are_told_at_once() {
    let world = ["nginx", "nginx-mod-stream", "socat", "tar"];
    look(&world, &["nginx", "@core", "@^minimal-environment", "@nginx:1.24"]).unwrap();
    refused(
        &world,
        &["nginx-mod-streams", "@cores", "@^minimal", "tar", "zzz"],
        "packages are missing from the medium:\n  \
         nginx-mod-streams (asked for by profiles/x.toml); there is nginx-mod-stream, nginx\n  \
         @cores (asked for by profiles/x.toml); there is @core\n  \
         @^minimal (asked for by profiles/x.toml); there is @^minimal-environment\n  \
         zzz (asked for by profiles/x.toml)",
    );
}

#[test]
fn names_are_read_as_dnf_reads_them() {
    let world = ["a=2:1.0-3", "lib-x.i686", "b, +webserver", "c-d.noarch"];
    for name in [
        "a",
        "a.x86_64",
        "a-1.0",
        "a-1.0-3",
        "a-2:1.0-3.x86_64",
        "a-1.0-3.x86_64",
        "c-*",
        "?-d",
        "*.noarch",
        "lib-x",
    ] {
        look(&world, &[name]).unwrap();
    }
    look(&world, &["webserver", "lib-x.i686"]).unwrap();
    for name in ["a-1.1", "a.noarch", "A", "d*", "a-1"] {
        look(&world, &[name]).unwrap_err();
    }
    // yum goes by names; what provides one is told.
    let error = with(&world, &["webserver"], 7, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().ends_with("there is b"), "{error}");
    look(&["a.aarch64", "b.src"], &["a"]).unwrap_err();
}

#[test]
fn requirements_are_followed_to_their_end() {
    let world = ["a, b >= 1", "b=1-1, libc(x)", "c, +libc(x), d < 2", "d=2-1"];
    refused(
        &world,
        &["a"],
        "packages cannot be installed from the medium:\n  \
         a (asked for by profiles/x.toml)\n    \
         a-1-1.x86_64 requires b >= 1\n    \
         b-1-1.x86_64 requires libc(x)\n    \
         c-1-1.x86_64 requires d < 2, which nothing provides",
    );
    look(&world, &["d"]).unwrap();
    look(&[&world[..], &["d=1-1"]].concat(), &["a"]).unwrap();
}

#[test]
fn one_provider_that_holds_is_enough_and_circles_are_none() {
    look(&["a, x", "b, +x, none", "c, +x"], &["a"]).unwrap();
    look(&["a, b", "b, a"], &["a"]).unwrap();
    look(&["a, b", "b, a, none"], &["a"]).unwrap_err();
    look(&["a=1-1, none", "a=2-1"], &["a"]).unwrap();
    look(&["a=1-1", "a=2-1, none"], &["a"]).unwrap();
    look(&["a, lib", "b.i686, +lib"], &["a"]).unwrap();
    look(&["a, (x if y), rpmlib(Z)"], &["a"]).unwrap();
    look(&["a, a >= 1"], &["a"]).unwrap();
}

#[test]
fn files_are_looked_for_where_all_are_listed() {
    let world = ["a, /usr/bin/b", "b, has /usr/bin/b, /usr/lib/c", "c, /usr/lib/d", "d"];
    let mut asked = Vec::new();
    let mut lists = |wanted: &dyn Fn(&str) -> bool, each: &mut dyn FnMut(usize, FilesOf) -> Result<()>| {
        for (id, path) in [("c", "/usr/lib/c"), ("d", "/usr/lib/d"), ("d", "/usr/bin/b")] {
            if wanted(path) {
                asked.push(path);
                each(0, FilesOf { id: id.into(), files: vec![path.into()] })?;
            }
        }
        Ok(())
    };
    with(&world, &["a"], 9, &mut lists).unwrap();
    assert_eq!(asked, ["/usr/lib/c", "/usr/lib/d"]);
    let error = look(&world, &["a"]).unwrap_err();
    assert!(
        error.to_string().ends_with("b-1-1.x86_64 requires /usr/lib/c, which nothing provides"),
        "{error}"
    );
    let broken = &mut |_: &dyn Fn(&str) -> bool, _: &mut dyn FnMut(usize, FilesOf) -> Result<()>| {
        Err(crate::error::Error::input("filelists.xml is damaged"))
    };
    assert!(with(&world, &["a"], 9, broken).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn a_long_chain_is_followed_in_no_time() {
    let mut world: Vec<String> = (0..20_000).map(|n| format!("p{n}, p{}", n + 1)).collect();
    let names: Vec<&str> = world.iter().map(String::as_str).collect();
    let error = look(&names, &["p19999"]).unwrap_err().to_string();
    assert!(error.ends_with("requires p20000, which nothing provides"), "{error}");
    look(&names, &["p0"]).unwrap_err();
    world.push("p20000".into());
    let names: Vec<&str> = world.iter().map(String::as_str).collect();
    look(&names, &["p0"]).unwrap();
}
