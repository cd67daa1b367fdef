//! Several tasks at once, a few threads for all of them. Tasks that fail do not stop the others: what can be fetched is fetched,
//! and all errors come together.

use std::sync::Mutex;

use crate::error::{Error, Result};

/// Runs all tasks on at most `jobs` threads, and gives their results in order.
pub fn run<T: Send, F: FnOnce() -> Result<T> + Send>(jobs: usize, tasks: Vec<F>) -> Result<Vec<T>> {
    let count = tasks.len();
    let queue = Mutex::new(tasks.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    let work = || {
        loop {
            let next = lock(&queue).next();
            let Some((at, task)) = next else { return };
            let result = task();
            lock(&done).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(count) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    let (mut results, mut errors) = (Vec::with_capacity(count), Vec::new());
    for (_, result) in done {
        match result {
            Ok(result) => results.push(result),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(results) } else { Err(join(errors)) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One error of several: of the first one's class, with the first hint.
fn join(mut errors: Vec<Error>) -> Error {
    if errors.len() == 1 {
        return errors.remove(0);
    }
    let lines: Vec<String> = errors.iter().map(whole).collect();
    let error = Error::new(errors[0].class(), format!("{} failed:\n  {}", errors.len(), lines.join("\n  ")));
    match errors.iter().find_map(Error::hint_text) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// An error and its causes on one line.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_errors_come_together() {
        let tasks: Vec<_> = (0..20).map(|n| move || Ok(n * n)).collect();
        assert_eq!(run(3, tasks).unwrap(), (0..20).map(|n| n * n).collect::<Vec<i32>>());
        let tasks: Vec<_> = (0..5)
            .map(|n| move || if n % 2 == 0 { Ok(n) } else { Err(Error::input(format!("bad {n}"))) })
            .collect();
        let error = run(2, tasks).unwrap_err();
        assert_eq!(error.to_string(), "2 failed:\n  bad 1\n  bad 3");
        assert!(run(4, Vec::<fn() -> Result<u8>>::new()).unwrap().is_empty());
    }
}
