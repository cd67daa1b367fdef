//! Work for all processors whose results are taken in order: the same whatever the number of processors. Bounded: a few jobs
//! a processor are on their way.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::error::{Error, Result};

/// Most threads: memory grows with them.
const MOST: usize = 8;
/// Jobs on their way for each thread.
const DEPTH: usize = 2;

/// Does `jobs`, with a worker of its own for each thread, and hands the results to `each` in the order of the jobs.
///
/// # Errors
/// The first error of a job's making or of `each`; nothing is handed on after it.
pub fn ordered<J, T, W>(
    jobs: impl Iterator<Item = Result<J>>,
    worker: &(impl Fn() -> W + Sync),
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()>
where
    J: Send,
    T: Send,
    W: FnMut(J) -> T,
{
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST);
    thread::scope(|scope| {
        let lane = |_| {
            let (to, jobs) = sync_channel::<J>(DEPTH);
            let (done, from) = sync_channel::<T>(DEPTH);
            scope.spawn(move || {
                let mut work = worker();
                // Nobody takes results any more when an error came first.
                jobs.into_iter().map(&mut work).try_for_each(|result| done.send(result).map_err(|_| ()))
            });
            (to, from)
        };
        let lanes: Vec<(SyncSender<J>, Receiver<T>)> = (0..threads).map(lane).collect();
        let lost = || Error::internal("a worker thread failed");
        let (mut sent, mut taken) = (0, 0);
        for job in jobs {
            if sent - taken == threads * DEPTH {
                each(lanes[taken % threads].1.recv().map_err(|_| lost())?)?;
                taken += 1;
            }
            lanes[sent % threads].0.send(job?).map_err(|_| lost())?;
            sent += 1;
        }
        while taken < sent {
            each(lanes[taken % threads].1.recv().map_err(|_| lost())?)?;
            taken += 1;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let mut out = Vec::new();
        let jobs = (0..1000_u64).map(Ok);
        let worker = || {
            |n: u64| {
                if n.is_multiple_of(7) {
                    thread::sleep(std::time::Duration::from_micros(200));
                }
                n * 2
            }
        };
        ordered(jobs, &worker, |n| {
            out.push(n);
            Ok(())
        })
        .unwrap();
        assert_eq!(out, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut seen = 0;
        let jobs = (0..100_u32).map(|n| if n == 50 { Err(Error::input("job 50")) } else { Ok(n) });
        let error = ordered(jobs, &|| |n: u32| n, |_| {
            seen += 1;
            Ok(())
        });
        assert!(error.unwrap_err().to_string().contains("job 50") && seen <= 50);
        let error = ordered((0..100_u32).map(Ok), &|| |n: u32| n, |n| match n {
            3 => Err(Error::input("result 3")),
            _ => Ok(()),
        });
        assert!(error.unwrap_err().to_string().contains("result 3"));
    }
}
