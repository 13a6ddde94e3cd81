//! A short run of every target, with the same inputs each time.

use fuzz::{TARGETS, runner};

/// One test for all: panics and memory are counted for the whole process.
#[test]
fn no_input_breaks_a_promise() {
    runner::watch_for_hangs();
    let mut findings = Vec::new();
    let mut all = 0;
    for target in TARGETS {
        let report = runner::run(target, 1, |cases| cases < target.short_run);
        println!(
            "{}: {} inputs, {} outcomes",
            target.name, report.cases, report.outcomes
        );
        // A target that refuses everything tries nothing.
        assert!(
            report.outcomes >= 4 || report.finding.is_some(),
            "{report:?}"
        );
        all += report.cases;
        if let Some(finding) = &report.finding {
            println!("{finding}");
            findings.push(finding.to_string());
        }
    }
    println!("{all} inputs");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
