//! Whether this user may have real-time threads. Runs on a thread that ends with the check, because
//! it raises its own priority.

use super::finding::Finding;

#[cfg(target_os = "linux")]
pub(super) fn check() -> Finding {
    let limit = std::fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|limits| priority_limit(&limits));
    judge(raise().map_err(|error| words(&error)), limit.as_deref())
}

/// Only Linux asks for a permission.
#[cfg(not(target_os = "linux"))]
pub(super) fn check() -> Finding {
    Finding::skip("this system asks for no permission")
}

/// Low among real-time priorities, and still before everything that is none.
#[cfg(target_os = "linux")]
const PRIORITY: u8 = 5;

#[cfg(target_os = "linux")]
fn raise() -> Result<(), thread_priority::Error> {
    use thread_priority::{
        RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    let priority = ThreadPriorityValue::try_from(PRIORITY)
        .map(ThreadPriority::Crossplatform)
        .map_err(|_| thread_priority::Error::Priority("a number that is none"))?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    set_thread_priority_and_policy(thread_native_id(), priority, policy)
}

#[cfg(target_os = "linux")]
fn words(error: &thread_priority::Error) -> String {
    match error {
        thread_priority::Error::OS(number) => {
            std::io::Error::from_raw_os_error(*number).to_string()
        }
        other => other.to_string(),
    }
}

#[cfg(target_os = "linux")]
fn judge(raised: Result<(), String>, limit: Option<&str>) -> Finding {
    use super::{fault::Fault, finding::Fix};

    let limit = limit.unwrap_or("unknown");
    let figures = serde_json::json!({ "granted": raised.is_ok(), "rtprio_limit": limit });
    let finding = match raised {
        Ok(()) => Finding::ok("the system grants them: sound goes on when the machine is busy"),
        Err(why) => Finding::warn(
            Fault::NoRealTimeThreads,
            format!(
                "not granted ({why}; the limit is {limit}): sound may break up when the machine is busy"
            ),
            Fix::command(
                "allow them for the group audio",
                "echo '@audio - rtprio 20' | sudo tee /etc/security/limits.d/90-audio.conf && sudo usermod --append --groups audio \"$USER\"",
            ),
        )
        .or(Fix::advice("then log out and in again: a session keeps its limits")),
    };
    finding.with_figures(figures)
}

/// The soft limit of real-time priorities in the text of `/proc/self/limits`.
#[cfg(target_os = "linux")]
fn priority_limit(limits: &str) -> Option<String> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max realtime priority"))?;
    line.split_whitespace().next().map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn the_limit_is_read_from_what_the_kernel_says() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max nice priority         0                    0\n\
                    Max realtime priority     95                   99\n";
        assert_eq!(priority_limit(text).as_deref(), Some("95"));
        assert_eq!(priority_limit(""), None);
        let mine = std::fs::read_to_string("/proc/self/limits").unwrap();
        assert!(priority_limit(&mine).is_some(), "{mine}");
    }

    #[test]
    fn a_refusal_comes_with_the_line_for_the_limits() {
        let refused = judge(Err("not permitted".to_owned()), Some("0"));
        assert_eq!(refused.status, Status::Warn);
        let command = refused.fixes[0].command.clone().unwrap();
        assert!(
            command.contains("rtprio") && command.contains("limits.d"),
            "{command}"
        );
        assert_eq!(judge(Ok(()), None).status, Status::Ok);
    }
}
