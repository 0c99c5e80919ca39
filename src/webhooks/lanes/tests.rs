use super::{Duration, EndpointKey, Instant, KEPT_LANES, Lanes, Places, Uuid};

fn endpoint(number: u128) -> EndpointKey {
    EndpointKey { account_id: 1, endpoint_id: Uuid::from_u128(number) }
}

type Item = (EndpointKey, usize);

fn admit(lanes: &mut Lanes<Item>, of: u128, count: usize, now: Instant) -> Vec<Duration> {
    let endpoint = endpoint(of);
    (0..count)
        .filter_map(|number| lanes.admit(endpoint, (endpoint, number), now))
        .map(|(_, pause)| pause)
        .collect()
}

fn begin(lanes: &mut Lanes<Item>, now: Instant) -> Vec<EndpointKey> {
    let begun: Vec<EndpointKey> = lanes.take(256, now).into_iter().map(|(endpoint, _)| endpoint).collect();
    for endpoint in &begun {
        lanes.begin(*endpoint, now);
    }
    begun
}

/// Lanes that have earned all their places, and whose endpoints took this long for their last webhook.
fn answered_in(milliseconds: u64, endpoints: &[u128]) -> (Lanes<Item>, Instant) {
    after_last(milliseconds, false, endpoints)
}

fn after_last(milliseconds: u64, failed: bool, endpoints: &[u128]) -> (Lanes<Item>, Instant) {
    let start = Instant::now();
    let end = start + Duration::from_millis(milliseconds);
    let mut lanes = Lanes::new(Places::of(256));
    for number in endpoints {
        admit(&mut lanes, *number, 1, start);
        begin(&mut lanes, start);
        lanes.finish(endpoint(*number), start, failed, end);
        lanes.lanes.get_mut(&endpoint(*number)).unwrap().earned = 64;
    }
    (lanes, end)
}

#[test]
fn an_endpoint_has_the_places_it_makes_good_use_of() {
    for (milliseconds, failed, places) in [
        (5, false, 64),
        (5, true, 64),
        (999, true, 64),
        (1_000, false, 16),
        (1_000, true, 2),
        (15_000, true, 2),
    ] {
        let (mut lanes, now) = after_last(milliseconds, failed, &[1]);
        for _ in 0..80 {
            admit(&mut lanes, 1, 1, now);
            begin(&mut lanes, now);
        }
        assert_eq!(lanes.taken(), places, "{milliseconds} {failed}");
    }
}

#[test]
fn places_are_earned_by_success_and_only_as_many_as_are_used() {
    let now = Instant::now();
    for (waiting, failed, expected) in
        [(500, false, [1, 2, 4, 8, 16, 32, 64]), (500, true, [1; 7]), (2, false, [1, 1, 0, 0, 0, 0, 0])]
    {
        let mut lanes = Lanes::new(Places::of(256));
        admit(&mut lanes, 1, waiting, now);
        let rounds: [usize; 7] = std::array::from_fn(|_| {
            let begun = begin(&mut lanes, now);
            begun.iter().for_each(|endpoint| lanes.finish(*endpoint, now, failed, now));
            begun.len()
        });
        assert_eq!(rounds, expected, "{waiting} {failed}");
    }
}

#[test]
fn places_are_divided_whatever_their_number() {
    for (total, expected) in
        [(1, [1, 1, 1]), (2, [1, 1, 1]), (4, [2, 2, 2]), (20, [10, 10, 2]), (256, [64, 16, 2])]
    {
        let places = Places::of(total);
        assert_eq!([places.endpoint, places.slow, places.failing], expected, "{total}");
    }
}

#[test]
fn a_burst_at_a_dead_endpoint_leaves_places_and_time_for_a_healthy_one() {
    let start = Instant::now();
    let mut lanes = Lanes::new(Places::of(256));
    let put_off = admit(&mut lanes, 1, 10_000, start);
    assert!(put_off.len() >= 9_000, "{} were put off", put_off.len());
    assert_eq!(begin(&mut lanes, start).len(), 1);
    admit(&mut lanes, 2, 3, start);
    assert_eq!(begin(&mut lanes, start), [endpoint(2)], "begun at once");

    let later = start + Duration::from_secs(2);
    assert!(!lanes.trim(later).is_empty());
    assert!(lanes.waiting() <= 20, "{} still hold their jobs", lanes.waiting());
}

#[test]
fn slow_endpoints_together_leave_half_of_the_places() {
    let slow: Vec<u128> = (1..=40).collect();
    let (mut lanes, now) = answered_in(2_000, &slow);
    for number in slow {
        admit(&mut lanes, number, 20, now);
    }
    let begun = begin(&mut lanes, now);
    assert_eq!(begun.len(), 128);
    assert!((1..=40).all(|number| begun.contains(&endpoint(number))), "each in turn");
    admit(&mut lanes, 99, 5, now);
    assert_eq!(begin(&mut lanes, now), [endpoint(99)]);
    lanes.finish(endpoint(99), now, false, now);
    assert_eq!(begin(&mut lanes, now), [endpoint(99); 2]);
}

#[test]
fn what_is_put_off_returns_at_the_pace_of_its_endpoint() {
    // 64 places, 100 ms each: 640 a second.
    let (mut lanes, now) = answered_in(100, &[1]);
    let pauses = admit(&mut lanes, 1, 1_000, now);
    let kept = 1_000 - pauses.len();
    assert_eq!(kept, 320);
    assert!(pauses.is_sorted());
    let longest = pauses.last().unwrap().as_secs_f64();
    assert!((longest - 0.5 - pauses.len() as f64 / 640.0).abs() < 0.01, "{longest}");

    let (mut lanes, now) = after_last(15_000, true, &[1]);
    let pauses = admit(&mut lanes, 1, 10_000, now);
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(60_500)));
    let soon = pauses.iter().filter(|pause| **pause < Duration::from_secs(30)).count();
    assert!((3_000..7_000).contains(&soon), "{soon} of 10000 in the first half of a minute");
}

#[test]
fn a_pace_that_was_measured_counts_more_than_the_one_that_seems_possible() {
    // 64 places, 10 ms each, would be 6,400 a second; but only 10 are finished in a quarter of a second.
    let (mut lanes, mut now) = answered_in(10, &[1]);
    for _ in 0..5 {
        admit(&mut lanes, 1, 500, now);
        lanes.trim(now);
        now += Duration::from_millis(250);
        let began = now.checked_sub(Duration::from_millis(10)).unwrap();
        for (endpoint, _) in lanes.take(10, began) {
            lanes.begin(endpoint, began);
            lanes.finish(endpoint, began, false, now);
        }
    }
    lanes.trim(now);
    assert!(lanes.waiting() <= 64, "{} wait, more than there is room for", lanes.waiting());
}

#[test]
fn a_bad_moment_does_not_keep_the_events_of_a_quick_endpoint() {
    // One delivery in a quarter of a second: 500 more would take more than a minute at that pace.
    let (mut lanes, mut now) = answered_in(10, &[1]);
    admit(&mut lanes, 1, 64, now);
    lanes.trim(now);
    for (endpoint, _) in lanes.take(1, now) {
        lanes.begin(endpoint, now);
        lanes.finish(endpoint, now, false, now);
    }
    now += Duration::from_millis(250);
    lanes.trim(now);
    let pauses = admit(&mut lanes, 1, 500, now);
    assert!(pauses.len() >= 400, "{}", pauses.len());
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(5_500)));
}

#[test]
fn endpoints_take_turns() {
    let (mut lanes, now) = answered_in(10, &[1, 2]);
    admit(&mut lanes, 1, 10, now);
    admit(&mut lanes, 2, 10, now);
    let order: Vec<EndpointKey> = lanes.take(4, now).into_iter().map(|(endpoint, _)| endpoint).collect();
    assert_eq!(order, [endpoint(1), endpoint(2), endpoint(1), endpoint(2)]);
}

#[test]
fn places_come_back_however_a_delivery_ends() {
    let (mut lanes, now) = answered_in(10, &[1]);
    admit(&mut lanes, 1, 2, now);
    let taken = lanes.take(256, now);
    assert_eq!((taken.len(), lanes.taken(), lanes.waiting()), (2, 2, 0));
    lanes.drop_taken(endpoint(1));
    lanes.begin(endpoint(1), now);
    lanes.finish(endpoint(1), now, false, now);
    assert_eq!(lanes.taken(), 0);
    admit(&mut lanes, 1, 40, now);
    assert_eq!(begin(&mut lanes, now).len(), 40);
}

#[test]
fn idle_endpoints_are_forgotten_in_the_end() {
    let now = Instant::now();
    let mut lanes = Lanes::new(Places::of(256));
    for number in 0..3_000 {
        admit(&mut lanes, number, 1, now);
        begin(&mut lanes, now);
        lanes.finish(endpoint(number), now, false, now);
    }
    assert!(lanes.lanes.len() <= KEPT_LANES);
}
