//! Real-time priority for the engine's thread, where the system grants it.
//!
//! The lowest sort of it: round robin, below the audio servers and the kernel's own threads, for a
//! thread that works for some 0.1 ms and sleeps for 1 or 2. Should it ever run away, Linux leaves 5 % of
//! each second to the others.

use std::fmt;

use thread_priority::ThreadPriority;

/// How the engine's thread is scheduled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnginePriority {
    /// Before everything that is not in a hurry.
    RealTime,
    /// Like any other thread, and why.
    Normal(String),
}

impl Default for EnginePriority {
    fn default() -> Self {
        Self::Normal("not asked for".to_owned())
    }
}

impl fmt::Display for EnginePriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealTime => f.write_str("real-time"),
            Self::Normal(why) => write!(f, "normal: {why}"),
        }
    }
}

/// Asks the system to schedule the current thread in real time. Being refused is no fault: sound
/// breaks only if the machine is too busy.
pub fn ask_for_real_time() -> EnginePriority {
    let priority = judge(request());
    tracing::debug!("priority of the engine's thread: {priority}");
    priority
}

fn judge(answer: Result<(), thread_priority::Error>) -> EnginePriority {
    match answer {
        Ok(()) => EnginePriority::RealTime,
        // EPERM, wherever there is one.
        Err(thread_priority::Error::OS(1)) => EnginePriority::Normal(
            "the system does not grant this user real-time threads (see \"ulimit -r\")".to_owned(),
        ),
        Err(error) => EnginePriority::Normal(error.to_string()),
    }
}

/// Linux has 1 to 99 (audio servers take from 5 to 20, JACK up to 80), macOS 15 to 47.
#[cfg(unix)]
fn request() -> Result<(), thread_priority::Error> {
    use thread_priority::{
        RealtimeThreadSchedulePolicy::RoundRobin, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    let level: u8 = if cfg!(target_os = "macos") { 31 } else { 5 };
    let level = ThreadPriorityValue::try_from(level)
        .map_err(|_| thread_priority::Error::Priority("out of range"))?;
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(level),
        ThreadSchedulePolicy::Realtime(RoundRobin),
    )
}

/// Windows has no policies; this is two levels above normal.
#[cfg(not(unix))]
fn request() -> Result<(), thread_priority::Error> {
    ThreadPriority::Max.set_for_current()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_and_what_to_look_at() {
        let refused = judge(Err(thread_priority::Error::OS(1))).to_string();
        assert!(refused.starts_with("normal: "), "{refused}");
        assert!(refused.contains("ulimit -r"), "{refused}");
        let other = judge(Err(thread_priority::Error::OS(22))).to_string();
        assert!(
            other.starts_with("normal: ") && other.contains("22"),
            "{other}"
        );
        assert_eq!(judge(Ok(())).to_string(), "real-time");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_said_is_what_the_kernel_says() {
        // A thread of its own: the test's shall stay as it is.
        let (said, policy) = std::thread::spawn(|| {
            let said = ask_for_real_time();
            (said, thread_priority::thread_schedule_policy())
        })
        .join()
        .unwrap();
        let is_real_time = matches!(
            policy,
            Ok(thread_priority::ThreadSchedulePolicy::Realtime(_))
        );
        assert_eq!(said == EnginePriority::RealTime, is_real_time, "{said}");
    }
}
