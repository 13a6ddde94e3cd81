//! Attempts to get a line back: one begins after the other while those before are still under way,
//! and the first that is answered goes on. So neither one that began too early, on a line that
//! swallowed it, nor one that is slow keeps the call from coming back.
//!
//! An attempt is a connection whose server has answered, and then a leg on it. When one connection is
//! answered, all others are dropped: however many attempts a server finds that stood still, it gets
//! one leg.
//!
//! Runs on tokio; knows nothing of calls.

use std::time::Duration;

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use super::attempt_pace::AttemptPace;

/// Who makes connections and legs: the network, or a test's idea of it.
pub(super) trait Dial: Sync {
    /// A connection whose server has answered.
    type Connection: Send;
    /// A leg that goes on.
    type Leg: Send;
    /// Why there is no use in going on.
    type End: Send;

    /// Connects, and waits for an answer; at most for some seconds.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, NoConnection>> + Send;

    /// Opens a leg; likewise.
    fn open(
        &self,
        connection: Self::Connection,
    ) -> impl Future<Output = Result<Self::Leg, NoLeg<Self::End>>> + Send;

    /// An attempt failed, others go on. In words.
    fn failed(&self, why: String);
}

/// Why an attempt ended before its server answered.
#[derive(Debug)]
pub(super) struct NoConnection {
    /// Nobody listens there.
    pub(super) refused: bool,
    /// In words.
    pub(super) why: String,
}

/// Why an attempt ended afterwards.
#[derive(Debug)]
pub(super) enum NoLeg<E> {
    /// Another may do better. In words.
    Failed(String),
    /// None will.
    Final(E),
}

/// All attempts of one call.
pub(super) struct Attempts<'a, D: Dial> {
    dial: &'a D,
    pace: AttemptPace,
    epoch: Instant,
    connections: UnderWay<'a, D::Connection, NoConnection>,
    legs: UnderWay<'a, D::Leg, NoLeg<D::End>>,
}

type UnderWay<'a, T, E> = FuturesUnordered<BoxFuture<'a, Result<T, E>>>;

impl<'a, D: Dial> Attempts<'a, D> {
    /// None yet: the line is well.
    pub(super) fn new(dial: &'a D) -> Self {
        Self {
            dial,
            pace: AttemptPace::new(Duration::ZERO),
            epoch: Instant::now(),
            connections: FuturesUnordered::new(),
            legs: FuturesUnordered::new(),
        }
    }

    /// The line is well: attempts that are under way are dropped.
    pub(super) fn line_is_well(&mut self) {
        self.pace.line_is_well(self.epoch.elapsed());
        self.connections.clear();
        self.legs.clear();
    }

    /// Tries until a leg goes on, or none ever will. A call that is dropped costs nothing: the next
    /// one goes on with the attempts that are under way.
    pub(super) async fn next(&mut self) -> Result<D::Leg, D::End> {
        self.pace.line_is_gone(self.epoch.elapsed());
        loop {
            let due = self.epoch + self.pace.next();
            tokio::select! {
                biased;
                Some(leg) = self.legs.next() => match leg {
                    Ok(leg) => return Ok(leg),
                    Err(NoLeg::Failed(why)) => self.dial.failed(why),
                    Err(NoLeg::Final(end)) => return Err(end),
                },
                Some(connection) = self.connections.next() => match connection {
                    Ok(connection) => {
                        self.connections.clear();
                        self.pace.answered(self.epoch.elapsed(), rand::random());
                        self.legs.push(Box::pin(self.dial.open(connection)));
                    }
                    Err(NoConnection { refused, why }) => {
                        if refused {
                            self.pace.refused();
                        }
                        self.dial.failed(why);
                    }
                },
                () = sleep_until(due) => {
                    self.pace.begins(self.epoch.elapsed(), rand::random());
                    self.connections.push(Box::pin(self.dial.connect()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::time::sleep;

    use super::*;

    /// What an attempt may take: as in a call.
    const TIMEOUT: Duration = Duration::from_secs(4);

    /// A server by what becomes of what begins so long after the line was gone.
    struct Network {
        began: Instant,
        /// How long until a connection that begins then is answered; `None`: it is swallowed.
        answers_after: Box<dyn Fn(Duration) -> Option<Duration> + Sync>,
        /// How long until a leg is.
        leg_after: Duration,
        legs: AtomicU32,
        connections: AtomicU32,
        failures: Mutex<Vec<String>>,
    }

    impl Network {
        fn new(answers_after: impl Fn(Duration) -> Option<Duration> + Sync + 'static) -> Self {
            Self {
                began: Instant::now(),
                answers_after: Box::new(answers_after),
                leg_after: ms(10),
                legs: AtomicU32::new(0),
                connections: AtomicU32::new(0),
                failures: Mutex::default(),
            }
        }

        /// When the first leg is there, which attempts made it possible, and how many of each there were.
        async fn back(&self) -> (Duration, [u32; 2]) {
            let mut attempts = Attempts::new(self);
            let leg = attempts.next().await;
            assert_eq!(leg, Ok(()));
            let counts = [&self.connections, &self.legs];
            let counts = counts.map(|count| count.load(Ordering::Relaxed));
            (self.began.elapsed(), counts)
        }
    }

    impl Dial for Network {
        type Connection = ();
        type Leg = ();
        type End = &'static str;

        async fn connect(&self) -> Result<(), NoConnection> {
            self.connections.fetch_add(1, Ordering::Relaxed);
            match (self.answers_after)(self.began.elapsed()) {
                Some(after) if after <= TIMEOUT => {
                    sleep(after).await;
                    Ok(())
                }
                _ => {
                    sleep(TIMEOUT).await;
                    Err(NoConnection {
                        refused: false,
                        why: "no answer".to_owned(),
                    })
                }
            }
        }

        async fn open(&self, (): ()) -> Result<(), NoLeg<&'static str>> {
            self.legs.fetch_add(1, Ordering::Relaxed);
            sleep(self.leg_after).await;
            Ok(())
        }

        fn failed(&self, why: String) {
            self.failures.lock().unwrap().push(why);
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_swallows_what_began_too_early_is_back_soon_after_it_flows() {
        for flows_ms in (10_000..10_600).step_by(50) {
            let network = Network::new(move |now| (now >= ms(flows_ms)).then_some(ms(10)));
            let (back, [connections, legs]) = network.back().await;
            let after = back - ms(flows_ms);
            // The longest pause with its jitter, and the way to the first answer.
            assert!(after <= ms(625), "{flows_ms} ms: {after:?}");
            assert!(connections <= 30, "{connections}");
            assert_eq!(legs, 1);
            let failures = network.failures.lock().unwrap();
            assert!(failures.iter().any(|why| why == "no answer"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_slowly_is_waited_for() {
        let network = Network::new(|_| Some(ms(3_000)));
        let (back, [_, legs]) = network.back().await;
        assert_eq!(back, ms(3_010));
        assert_eq!(legs, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_thaw_together_become_one_leg() {
        let network = Network::new(|now| Some(ms(10_000).saturating_sub(now)));
        let (back, [connections, legs]) = network.back().await;
        assert_eq!(back, ms(10_010));
        assert!(connections >= 15, "{connections}");
        assert_eq!(legs, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_connections_and_is_slow_gets_few_legs() {
        let network = Network {
            leg_after: ms(6_000),
            ..Network::new(|_| Some(ms(10)))
        };
        let (back, [connections, legs]) = network.back().await;
        // The first of them.
        assert_eq!(back, ms(6_010));
        assert!(legs <= 4 && connections <= 4, "{legs}, {connections}");
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_outlive_who_waits_for_them() {
        let network = Network::new(|_| Some(ms(3_000)));
        let mut attempts = Attempts::new(&network);
        for _ in 0..20 {
            let waited = tokio::time::timeout(ms(100), attempts.next()).await;
            assert!(waited.is_err());
        }
        assert_eq!(attempts.next().await, Ok(()));
        assert_eq!(network.began.elapsed(), ms(3_010));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_dropped_when_the_line_is_well_again() {
        for leg_after in [ms(10), ms(8_000)] {
            let network = Network {
                leg_after,
                ..Network::new(move |_| (leg_after > ms(10)).then_some(ms(10)))
            };
            let mut attempts = Attempts::new(&network);
            let waited = tokio::time::timeout(ms(600), attempts.next()).await;
            assert!(waited.is_err());
            assert_eq!(attempts.connections.is_empty(), leg_after > ms(10));
            assert_eq!(attempts.legs.is_empty(), leg_after == ms(10));
            attempts.line_is_well();
            assert!(attempts.connections.is_empty() && attempts.legs.is_empty());
        }
    }
}
