-- A migration that only adds leaves the builds before it working; one that takes away replaces this function. So a release's
-- migration is applied while the release before it serves, and its processes may be started again until they are replaced.

create function oldest_build_served() returns integer language sql immutable return 11;
comment on function oldest_build_served() is 'the schema version that a build must have been made for, at least, to work on this schema';
