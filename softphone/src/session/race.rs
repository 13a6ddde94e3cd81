//! A line that has stalled, and a second one that is tried beside it: which of them goes on.
//!
//! Runs on tokio; knows nothing of calls but that a stream is heard, or breaks.

use std::time::Duration;

use tokio::time::timeout;

use super::attempts::{Attempts, Dial};

/// A second stream that has been heard.
pub(super) trait Contender {
    /// Returns when it breaks.
    fn broken(&mut self) -> impl Future<Output = ()> + Send;
}

/// Which of two streams goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome<A, C> {
    /// The first, or none: its answer.
    First(A),
    /// The second, and the first is let go.
    Second(C),
}

/// Waits for the `answer` of the first stream. Once that has `stalled`, `attempts` are made until a
/// second stream is heard and lasts through the `grace`, for which the first is still listened to. An
/// answer in time wins, and drops a second one; unless it says that the first `is_over` while a second
/// is there.
pub(super) async fn race<A, D>(
    answer: impl Future<Output = A>,
    is_over: impl Fn(&A) -> bool,
    stalled: impl Future<Output = ()>,
    attempts: &mut Attempts<'_, D>,
    grace: Duration,
) -> Outcome<A, D::Leg>
where
    D: Dial<Leg: Contender>,
{
    let mut second = None;
    let overtake = async {
        stalled.await;
        loop {
            second = attempts.next().await.ok();
            // A refusal does not end what the first stream may still go on with.
            let Some(contender) = &mut second else {
                continue;
            };
            if timeout(grace, contender.broken()).await.is_err() {
                return;
            }
            second = None;
        }
    };
    let answer = tokio::select! {
        // The first is preferred: nothing is lost on it.
        biased;
        answer = answer => Some(answer),
        () = overtake => None,
    };
    match (answer, second) {
        (Some(answer), Some(second)) if is_over(&answer) => Outcome::Second(second),
        (Some(answer), _) => Outcome::First(answer),
        (None, Some(second)) => Outcome::Second(second),
        (None, None) => unreachable!("overtaken by nothing"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicU32, Ordering},
    };

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::session::attempts::{NoConnection, NoLeg};

    const GRACE: Duration = Duration::from_millis(40);

    /// A second stream by its number, which breaks so long after it was heard.
    #[derive(Debug, PartialEq, Eq)]
    struct Second {
        number: u32,
        lasts: Option<Duration>,
    }

    impl Contender for Second {
        async fn broken(&mut self) {
            match self.lasts {
                Some(lasts) => sleep(lasts).await,
                None => pending().await,
            }
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Answer {
        Sound,
        Error,
    }

    /// Each second stream is heard 100 ms after its attempt began. `lasts` says of each how long, `None`
    /// for the rest.
    struct Seconds<'a> {
        lasts: &'a [u64],
        opened: AtomicU32,
    }

    impl Dial for Seconds<'_> {
        type Connection = ();
        type Leg = Second;
        type End = ();

        async fn connect(&self) -> Result<(), NoConnection> {
            Ok(())
        }

        async fn open(&self, (): ()) -> Result<Second, NoLeg<()>> {
            let number = self.opened.fetch_add(1, Ordering::Relaxed);
            sleep(ms(100)).await;
            let lasts = self.lasts.get(number as usize).map(|&lasts| ms(lasts));
            Ok(Second { number, lasts })
        }

        fn failed(&self, why: String) {
            panic!("{why}");
        }
    }

    /// The first stream stalls at 0, and gives `answer` when told.
    async fn run(answer: Option<(u64, Answer)>, lasts: &[u64]) -> Outcome<Answer, u32> {
        let seconds = Seconds {
            lasts,
            opened: AtomicU32::new(0),
        };
        let first = async {
            match answer {
                Some((at_ms, answer)) => {
                    sleep(ms(at_ms)).await;
                    answer
                }
                None => pending().await,
            }
        };
        let is_over = |answer: &Answer| *answer == Answer::Error;
        let mut attempts = Attempts::new(&seconds);
        match race(first, is_over, async {}, &mut attempts, GRACE).await {
            Outcome::First(answer) => Outcome::First(answer),
            Outcome::Second(second) => Outcome::Second(second.number),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_stream_that_is_heard_within_the_grace_goes_on() {
        for at_ms in [50, 130] {
            let outcome = run(Some((at_ms, Answer::Sound)), &[]).await;
            assert_eq!(outcome, Outcome::First(Answer::Sound));
        }
        let began = Instant::now();
        let outcome = run(Some((150, Answer::Sound)), &[]).await;
        assert_eq!(outcome, Outcome::Second(0));
        assert_eq!(began.elapsed(), ms(140));
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_stream_that_breaks_within_the_grace_leaves_the_second() {
        let began = Instant::now();
        let outcome = run(Some((130, Answer::Error)), &[]).await;
        assert_eq!(outcome, Outcome::Second(0));
        // At once: there is nothing to wait for.
        assert_eq!(began.elapsed(), ms(130));
        // Before a second was heard there is none to go on with.
        let outcome = run(Some((90, Answer::Error)), &[]).await;
        assert_eq!(outcome, Outcome::First(Answer::Error));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_stream_that_breaks_within_the_grace_leaves_the_first() {
        // What it left is no winner, whatever becomes of the first.
        for answer in [Answer::Sound, Answer::Error] {
            let outcome = run(Some((135, answer)), &[20]).await;
            assert_eq!(outcome, Outcome::First(answer));
        }
        // And the next one is tried in its time.
        assert_eq!(run(None, &[20, 20]).await, Outcome::Second(2));
    }
}
