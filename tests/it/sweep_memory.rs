//! What the guard remembers is forgotten in time, and not before.

use crate::support::process::Binary;
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::world::World;

/// Sightings go when they expire and contacts half a year after the last message, more of them than one statement
/// removes; what still counts stays.
pub async fn the_guards_memory_is_forgotten_in_time(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    let made = "insert into sightings (account_id, counter, subject, member, expires_at)
                select n % 7, c, n % 3, n, now() - n * interval '1 hour'
                from generate_series(-4, 2500) n, unnest(array['same_text', 'codes']) c;
                insert into contacts (account_id, recipient, first_at, last_at)
                select n % 7, n, now() - interval '3 years', now() - interval '180 days' - n * interval '1 hour'
                from generate_series(-4, 4500) n";
    database.batch_execute(made).await.expect("they can be made");
    let _sweep = world.start(Binary::Sweep).await;
    for (table, counts) in
        [("sightings", "expires_at > now()"), ("contacts", "last_at > now() - interval '180 days'")]
    {
        wait_for_count(&database, &format!("select count(*) from {table} where not ({counts})"), 0).await;
    }
    assert_eq!(count(&database, "select count(*) from sightings").await, 8);
    assert_eq!(count(&database, "select count(*) from contacts").await, 4);
}
