//! The network between any two parts fails, in each of the ways that networks do.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::pause;
use crate::links::Link;
use crate::stage::Stage;

pub(super) async fn cut(stage: &mut Stage, random: &mut SmallRng) {
    let link = next(stage);
    stage.links.of(link).cut().await;
    pause(random, 100, 6_000).await;
    stage.links.of(link).heal().await;
}

/// Half-open: accepted, and then silence.
pub(super) async fn stall(stage: &mut Stage, random: &mut SmallRng) {
    let link = next(stage);
    stage.links.of(link).stall();
    pause(random, 1_000, 8_000).await;
    stage.links.of(link).heal().await;
}

pub(super) async fn slow(stage: &mut Stage, random: &mut SmallRng) {
    let link = next(stage);
    stage.links.of(link).slow(Duration::from_millis(random.random_range(20..200)));
    pause(random, 2_000, 6_000).await;
    stage.links.of(link).heal().await;
}

pub(super) async fn reset(stage: &mut Stage, random: &mut SmallRng) {
    let link = next(stage);
    stage.links.of(link).reset();
    pause(random, 200, 1_500).await;
}

/// One after the other, so that each has its turn.
fn next(stage: &mut Stage) -> Link {
    stage.next_link += 1;
    Link::ALL[stage.next_link % Link::ALL.len()]
}
