//! A line that has stalled, and a second one that is tried beside it: which of them goes on.
//!
//! Runs on tokio; knows nothing of calls but that a stream is heard, or breaks.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// A second stream that has been heard.
pub(crate) trait Contender {
    /// Returns when it breaks.
    fn broken(&mut self) -> impl Future<Output = ()> + Send;
}

/// Which of two streams goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome<A, C> {
    /// The first, or none: its answer.
    First(A),
    /// The second, and the first is let go.
    Second(C),
}

/// The rules of a race.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Race {
    /// What lies at least between the beginnings of two second streams.
    pub(crate) every: Duration,
    /// How much longer the first is listened to when a second was heard.
    pub(crate) grace: Duration,
}

impl Race {
    /// Waits for the `answer` of the first stream. Once that has `stalled`, second streams are opened
    /// one after the other (`open`; `None`: it was not heard), until one is heard and lasts through the
    /// grace. An answer in time wins, and drops a second one; unless it says that the first `is_over`
    /// while a second is there.
    pub(crate) async fn run<A, C: Contender, F: Future<Output = Option<C>>>(
        &self,
        answer: impl Future<Output = A>,
        is_over: impl Fn(&A) -> bool,
        stalled: impl Future<Output = ()>,
        mut open: impl FnMut() -> F,
    ) -> Outcome<A, C> {
        let mut second = None;
        let overtake = async {
            stalled.await;
            loop {
                let not_before = sleep(self.every);
                second = open().await;
                if let Some(contender) = &mut second {
                    if timeout(self.grace, contender.broken()).await.is_err() {
                        return;
                    }
                    second = None;
                }
                not_before.await;
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
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::time::Instant;

    use super::*;

    const RACE: Race = Race {
        every: Duration::from_millis(500),
        grace: Duration::from_millis(40),
    };

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

    /// The first stream stalls at 0, and gives `answer` when told; each second one is heard 100 ms
    /// after it was opened. `lasts` says of each how long, `None` for the rest.
    async fn run(answer: Option<(u64, Answer)>, lasts: &[u64]) -> Outcome<Answer, u32> {
        let opened = Cell::new(0);
        let first = async {
            match answer {
                Some((at_ms, answer)) => {
                    sleep(ms(at_ms)).await;
                    answer
                }
                None => pending().await,
            }
        };
        let open = || async {
            let number = opened.replace(opened.get() + 1);
            sleep(ms(100)).await;
            let lasts = lasts.get(number as usize).map(|&lasts| ms(lasts));
            Some(Second { number, lasts })
        };
        let is_over = |answer: &Answer| *answer == Answer::Error;
        match RACE.run(first, is_over, async {}, open).await {
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
        let began = Instant::now();
        assert_eq!(run(None, &[20, 20]).await, Outcome::Second(2));
        assert_eq!(began.elapsed(), ms(2 * 500 + 140));
    }
}
