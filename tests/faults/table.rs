//! The result, as the README's table has it.

use std::fmt::Write as _;

use crate::run::Outcome;

/// A row for each run.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| fault | strikes | load held | accepted | lost | duplicates | put off | from the first try to acceptance, p99 | accepted to called: p50, p99, longest | settled after |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let reconciled = &outcome.reconciled;
        let mut put_off: Vec<_> = outcome.put_off.iter().collect();
        put_off.sort();
        let put_off: Vec<String> =
            put_off.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let [middle, late, longest] = reconciled.called_after.map(|wait| wait.as_secs_f64());
        let _ = writeln!(
            table,
            "| {} | {} | {:.0}/s | {} | {} | {} | {} | {:.0} ms | {middle:.2} s, {late:.2} s, {longest:.1} s | {:.0} s |",
            outcome.name,
            outcome.strikes,
            outcome.held,
            reconciled.accepted,
            reconciled.lost,
            reconciled.duplicates,
            put_off.join(", "),
            outcome.waits.0.as_secs_f64() * 1_000.0,
            outcome.settled.as_secs_f64(),
        );
    }
    let sum = |of: fn(&Outcome) -> i64| outcomes.iter().map(of).sum::<i64>();
    let _ = writeln!(
        table,
        "| all | {} | | {} | {} | {} | | | | |",
        outcomes.iter().map(|outcome| outcome.strikes).sum::<u32>(),
        outcomes.iter().map(|outcome| outcome.reconciled.accepted).sum::<usize>(),
        sum(|outcome| outcome.reconciled.lost),
        sum(|outcome| outcome.reconciled.duplicates),
    );
    table
}
