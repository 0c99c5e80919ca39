//! The disk of the database is full for a while: Postgres cannot write, or ends.

use rand::rngs::SmallRng;

use super::pause;
use crate::stage::Stage;

/// Does nothing on a stage whose database has the machine's own disk.
pub(super) async fn full(stage: &mut Stage, random: &mut SmallRng) {
    let Some(disk) = &stage.disk else { return };
    disk.fill();
    pause(random, 2_000, 6_000).await;
    disk.relieve();
    stage.postgres.restart().await;
}
