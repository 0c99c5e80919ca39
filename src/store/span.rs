//! What keeps a statement about some rows to the partitions those rows are in.
//!
//! A join with a list of ids looks each up in the right partition, but opens all of them first, and locks and plans them.
//! With the least and the greatest id as parameters, those in between are all that is touched, also by a prepared plan.

use uuid::Uuid;

/// Always true of the rows of a list of keys, of which Postgres then expects few. Each is looked up by its key in any case
/// then. Of a table without statistics (a new month's, say) it expects a handful of rows within a span, and would compare
/// each of them with each of a list that it takes to be long; a process would keep to that plan until the table was analysed.
macro_rules! few {
    ($list:literal) => {
        concat!($list, ".account_id + 0 between 0 and 9223372036854775807")
    };
}
pub(super) use few;

/// The least and the greatest of the ids; nothing lies between those of none.
pub(super) fn span<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> (Uuid, Uuid) {
    ids.into_iter()
        .fold((Uuid::max(), Uuid::nil()), |(least, greatest), id| (least.min(*id), greatest.max(*id)))
}

#[cfg(test)]
mod tests {
    use super::span;
    use uuid::Uuid;

    #[test]
    fn a_span_reaches_from_the_least_to_the_greatest() {
        let ids: Vec<Uuid> = [7, 3, 9].map(Uuid::from_u128).to_vec();
        assert_eq!(span(&ids), (Uuid::from_u128(3), Uuid::from_u128(9)));
        assert_eq!(span(&ids[..1]), (ids[0], ids[0]));
        let (least, greatest) = span(&[]);
        assert!(least > greatest);
    }
}
