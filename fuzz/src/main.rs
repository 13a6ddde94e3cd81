//! Runs fuzz targets for a while. `script/fuzz` starts it with all of them.

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use fuzz::{TARGETS, Target, corpus, runner};

/// Gives made-up bytes to everything that reads bytes of others.
#[derive(Debug, Parser)]
#[command(name = "fuzz")]
struct Args {
    /// Which targets; all of them if none is named.
    #[arg(value_parser = target)]
    targets: Vec<&'static Target>,

    /// For how many minutes in all, shared equally.
    #[arg(long, default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,

    /// What the inputs are made from: the same number makes the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Try this one file instead, on the one target that is named.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Add inputs with a new outcome to the seeds, the shortest first, this many a target.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    keep: usize,
}

fn target(name: &str) -> Result<&'static Target, String> {
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            format!("there are {}", names.join(", "))
        })
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok();
    let minutes = minutes.filter(|minutes| (0.0..=10_000.0).contains(minutes));
    minutes.ok_or_else(|| "write a number of minutes, such as 10".to_owned())
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.targets.is_empty() {
        args.targets = TARGETS.iter().collect();
    }
    runner::watch_for_hangs();
    if let Some(file) = &args.input {
        return try_file(&args.targets, file);
    }
    let share = Duration::from_secs_f64(args.minutes * 60.0) / args.targets.len() as u32;
    let (mut cases, mut findings) = (0, 0);
    for target in &args.targets {
        let began = Instant::now();
        let report = runner::run(target, args.seed, |_| began.elapsed() < share);
        cases += report.cases;
        println!(
            "{:<16}{:>10} inputs, {:>4} outcomes, {:>5.0} s",
            target.name,
            report.cases,
            report.outcomes,
            began.elapsed().as_secs_f64()
        );
        if let Some(finding) = &report.finding {
            println!("{finding}");
            findings += 1;
        }
        if let Err(error) = keep(target, report.new_inputs, args.keep) {
            eprintln!("fuzz: cannot add to the seeds: {error}");
            return ExitCode::FAILURE;
        }
    }
    println!("{cases} inputs, {findings} findings");
    match findings {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn try_file(targets: &[&'static Target], file: &PathBuf) -> ExitCode {
    let [target] = targets else {
        eprintln!("fuzz: name the one target that the file is for");
        return ExitCode::from(2);
    };
    let input = match fs::read(file) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("fuzz: {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    };
    match runner::once(target, &input) {
        Ok(outcome) => {
            println!("{}: {outcome}", target.name);
            ExitCode::SUCCESS
        }
        Err(words) => {
            println!("{}: {words}", target.name);
            ExitCode::FAILURE
        }
    }
}

fn keep(target: &Target, mut inputs: Vec<Vec<u8>>, count: usize) -> std::io::Result<()> {
    inputs.sort_by_key(Vec::len);
    let directory = corpus::directory(target.name);
    let there = corpus::seeds(target.name)?.len();
    for (index, input) in inputs.iter().take(count).enumerate() {
        fs::write(directory.join(format!("found-{:03}", there + index)), input)?;
    }
    Ok(())
}
