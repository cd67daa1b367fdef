//! Several boots, a few at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Attach, BootOutcome, BootSpec, Firmware};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Every firmware with every way to plug the medium in, in a fixed order.
pub fn combinations() -> impl Iterator<Item = (Firmware, Attach)> {
    Firmware::ALL
        .into_iter()
        .flat_map(|firmware| Attach::ALL.into_iter().map(move |attach| (firmware, attach)))
}

/// Runs boots, at most `jobs` at once; results are in the order of `specs`. One that cannot be tried stops no other.
pub fn run(specs: &[BootSpec], jobs: usize, progress: &dyn Progress) -> Vec<Result<BootOutcome>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<BootOutcome>>>> = specs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, specs.len().max(1)) {
            scope.spawn(|| {
                while let Some((spec, slot)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    specs.get(index).zip(results.get(index))
                } {
                    let result = super::run(spec, progress);
                    *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    let taken = results.into_iter().map(|slot| slot.into_inner().ok().flatten());
    taken
        .map(|result| result.unwrap_or_else(|| Err(Error::internal("a boot ended without a result"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn the_matrix_is_complete_and_ordered() {
        let all: Vec<String> =
            combinations().map(|(f, a)| format!("{}-{}", f.as_str(), a.as_str())).collect();
        assert_eq!(all, ["bios-cd", "bios-usb", "uefi-cd", "uefi-usb", "secure-boot-cd", "secure-boot-usb"]);
    }

    #[test]
    fn results_keep_the_order_of_the_specs() {
        let spec = |name: &str| BootSpec::new(name, Firmware::Bios, Attach::Cd, "/nonexistent/work");
        let specs = [spec("/nonexistent/a"), spec("/nonexistent/b"), spec("/nonexistent/c")];
        let errors: Vec<String> =
            run(&specs, 2, &Silent).into_iter().map(|result| result.unwrap_err().to_string()).collect();
        assert!(
            errors[0].contains("/a") && errors[1].contains("/b") && errors[2].contains("/c"),
            "{errors:?}"
        );
        assert!(run(&[], 2, &Silent).is_empty());
    }
}
