//! Points in time, zones and spans. The only user of `chrono`.
