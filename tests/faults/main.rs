//! Nothing is lost: every part is broken under load, and every message accounted for. `scripts/faults` runs it whole, a
//! plain `cargo test` a short form of it.

mod fleet;
mod flood;
mod ledger;
mod links;
mod load;
mod memory;
mod overload;
mod reconcile;
mod run;
mod setting;
mod small_disk;
mod stage;
mod strikes;
#[expect(dead_code, reason = "shared with the other tests, which use the rest")]
#[path = "../it/support/mod.rs"]
mod support;
mod table;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Builder, Handle};

use run::Outcome;
use setting::Setting;
use strikes::Fault;

fn main() -> ExitCode {
    // One after the other: each takes all of the machine.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    drop(rustls::crypto::ring::default_provider().install_default());
    let setting = Setting::read();
    let outcomes: Arc<Mutex<Vec<Outcome>>> = Arc::default();
    let taken = strikes::FAULTS.iter().filter(|fault| setting.takes(fault.name, fault.brief));
    let mut trials: Vec<Trial> = taken
        .map(|fault| {
            let (handle, setting, outcomes) =
                (runtime.handle().clone(), setting.clone(), Arc::clone(&outcomes));
            Trial::ignorable_test(fault.name, move || {
                let missing = (fault.missing)().or(not_installed(&handle));
                if let Some(missing) = missing {
                    return Ok(Completion::ignored_with(missing));
                }
                let outcome = run_one(&handle, fault, &setting);
                let verdict = verdict(&outcome.wrong);
                outcomes.lock().expect("no one panics inside").push(outcome);
                verdict
            })
        })
        .collect();
    if setting.takes("overload", false) {
        let (handle, setting) = (runtime.handle().clone(), setting.clone());
        trials.push(Trial::ignorable_test("overload", move || {
            if let Some(missing) = not_installed(&handle) {
                return Ok(Completion::ignored_with(missing));
            }
            let overload = handle.block_on(overload::run(&setting));
            eprint!("{}", overload.report);
            verdict(&overload.wrong)
        }));
    }
    assert!(!trials.is_empty(), "no fault has a name like that");
    let conclusion = libtest_mimic::run(&arguments, trials);
    let outcomes = outcomes.lock().expect("no one panics inside");
    if !outcomes.is_empty() {
        eprint!("{}", table::table(&outcomes));
    }
    conclusion.exit_code()
}

/// Servers are broken here in ways that those in containers cannot be.
fn not_installed(handle: &Handle) -> Option<&'static str> {
    let installed = handle.block_on(support::services::is_installed());
    (!installed).then_some("it needs PostgreSQL and RabbitMQ to be installed")
}

fn run_one(handle: &Handle, fault: &Fault, setting: &Setting) -> Outcome {
    eprintln!("{}: {:?} at {}/s, seed {}", fault.name, setting.time, setting.rate, setting.seed);
    let outcome = handle.block_on(run::run(fault, setting));
    eprintln!("ended as {:?}", outcome.reconciled.ended);
    outcome
}

fn verdict(wrong: &[String]) -> Result<Completion, Failed> {
    if wrong.is_empty() { Ok(Completion::Completed) } else { Err(wrong.join("\n").into()) }
}
