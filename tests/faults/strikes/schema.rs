//! The next release's migration is applied while this one serves: a migration that adds, and later one that takes away what
//! only the releases between knew. Processes that start in between are still this release's.

use rand::rngs::SmallRng;

use super::pause;
use crate::stage::Stage;
use crate::support::process::Binary;

pub(super) async fn migrate(stage: &mut Stage, random: &mut SmallRng) {
    let database = stage.world.database().await;
    let row =
        database.query_one("select max(version) from refinery_schema_history", &[]).await.expect("a row");
    let version: i32 = row.get::<_, i32>(0) + 1;
    let last = version - 1;
    // As a migration should: it gives up when it cannot have its lock at once, and is tried again.
    let expand = format!(
        "set lock_timeout = '200ms';
         begin;
         alter table messages add column added_{version} text;
         alter table messages add column counted_{version} integer not null default 0;
         alter table messages drop column if exists added_{last};
         alter table messages drop column if exists counted_{last};
         insert into refinery_schema_history (version, name, applied_on, checksum)
            values ({version}, 'of_a_later_release', now()::text, '0');
         commit;"
    );
    crate::support::eventually("the migration is applied", async || {
        let applied = database.batch_execute(&expand).await;
        if applied.is_err() {
            database.batch_execute("rollback").await.expect("the database answers");
        }
        applied.ok()
    })
    .await;
    for binary in Binary::ALL {
        stage.fleet.kill(binary, 0).await;
        pause(random, 300, 1_500).await;
    }
}
