-- An index that begins like the primary key, and leads on to something else, must not be taken for it: of a partition without
-- statistics, as each new month's is, Postgres expects so few rows that one column seems to be as good as the whole key, and it
-- read all events of an account to find one. Partial, the index serves only those who ask for a message.
--
-- Building it reads each month of events and keeps them from being written for that time; outcomes wait and are recorded
-- afterwards. With large tables, build it on each partition before (create index concurrently on events_2026m11 (account_id,
-- message_id) where message_id is not null): an index that is there already is taken. The old index goes under a lock that
-- waits for whoever reads events, so that no audit should be running.

create index events_of_messages on events (account_id, message_id) where message_id is not null;
drop index events_by_message;
