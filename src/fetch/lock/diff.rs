//! What is different between two locks, in lines for people.

use super::{Lock, Pin, Pulled};

impl Lock {
    /// What changes from this lock to `new`, one line each; empty when they are equal.
    pub fn diff(&self, new: &Lock) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, old) in &self.components {
            match new.components.get(name) {
                None => lines.push(format!("- {name} {}", old.version)),
                Some(pin) => diff_pin(name, old, pin, &mut lines),
            }
        }
        for (name, pin) in &new.components {
            if !self.components.contains_key(name) {
                lines.push(format!("+ {name} {}", pin.version));
            }
        }
        for (file, old) in &self.images {
            match new.images.get(file) {
                None => lines.push(format!("- image {file}")),
                Some(pin) if pin != old => {
                    lines.push(format!("~ image {file}: sha256 {} -> {}", old.sha256, pin.sha256));
                }
                Some(_) => {}
            }
        }
        let added = new.images.keys().filter(|file| !self.images.contains_key(*file));
        lines.extend(added.map(|file| format!("+ image {file}")));
        diff_pulled(self.pulled.as_ref(), new.pulled.as_ref(), &mut lines);
        lines
    }
}

fn diff_pin(name: &str, old: &Pin, new: &Pin, lines: &mut Vec<String>) {
    if old.version != new.version {
        // Every file differs then; naming each would bury the one thing that matters.
        lines.push(format!("~ {name} {} -> {}", old.version, new.version));
        return;
    }
    let before = lines.len();
    for (file, pin) in &old.files {
        match new.files.get(file) {
            None => lines.push(format!("- {name} {}: {file}", old.version)),
            Some(other) if (other.size, other.sha256) != (pin.size, pin.sha256) => lines.push(format!(
                "~ {name} {}: {file}: {} bytes, sha256 {} -> {} bytes, sha256 {}",
                old.version, pin.size, pin.sha256, other.size, other.sha256
            )),
            Some(other) if other.from != pin.from => {
                lines.push(format!("~ {name} {}: {file}: the same from elsewhere", old.version));
            }
            Some(_) => {}
        }
    }
    let added = new.files.keys().filter(|file| !old.files.contains_key(*file));
    lines.extend(added.map(|file| format!("+ {name} {}: {file}", new.version)));
    if old.archive != new.archive && lines.len() == before {
        lines.push(format!("~ {name} {}: its archive is another one", new.version));
    }
}

fn diff_pulled(old: Option<&Pulled>, new: Option<&Pulled>, lines: &mut Vec<String>) {
    let images = |pulled: Option<&Pulled>| pulled.map(|pulled| pulled.images.clone()).unwrap_or_default();
    let (before, after) = (images(old), images(new));
    for (name, image) in &before {
        match after.get(name) {
            None => lines.push(format!("- image {name}")),
            Some(other) if other.manifest != image.manifest => {
                lines.push(format!("~ image {name}: manifest {} -> {}", image.manifest, other.manifest));
            }
            Some(_) => {}
        }
    }
    let added = after.keys().filter(|name| !before.contains_key(*name));
    lines.extend(added.map(|name| format!("+ image {name}")));
    let archive = |pulled: Option<&Pulled>| pulled.map(|pulled| (pulled.size, pulled.sha256));
    if before == after && archive(old) != archive(new) {
        lines.push("~ the archive of the images is another one".to_owned());
    }
}
