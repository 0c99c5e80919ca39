//! `kill -9` of the product's own processes. A supervisor starts them again at once.

use rand::RngExt;
use rand::rngs::SmallRng;

use super::pause;
use crate::stage::Stage;
use crate::support::process::Binary;

pub(super) async fn gateway(stage: &mut Stage, random: &mut SmallRng) {
    kill(stage, random, Binary::Gateway).await;
}

pub(super) async fn deliver(stage: &mut Stage, random: &mut SmallRng) {
    kill(stage, random, Binary::Deliver).await;
}

pub(super) async fn notify(stage: &mut Stage, random: &mut SmallRng) {
    kill(stage, random, Binary::Notify).await;
}

pub(super) async fn sweep(stage: &mut Stage, random: &mut SmallRng) {
    kill(stage, random, Binary::Sweep).await;
}

/// Two of them work; now the one, now the other is killed.
pub(super) async fn two_sweeps(stage: &mut Stage, random: &mut SmallRng) {
    if stage.fleet.count(Binary::Sweep) < 2 {
        stage.fleet.add(&stage.world, &stage.links, Binary::Sweep);
    }
    kill(stage, random, Binary::Sweep).await;
}

async fn kill(stage: &mut Stage, random: &mut SmallRng, binary: Binary) {
    let n = random.random_range(0..stage.fleet.count(binary));
    stage.fleet.kill(binary, n).await;
    pause(random, 500, 4_000).await;
}
