//! Statements on the history.

use crate::{
    clock::{Timestamp, millis},
    grant::GrantId,
    history::{Event, Kind},
    secret::hex,
    store::{
        EventFilter, EventPart, EventPlace, EventsOf, RecentRenewal, StoreError, StoredEvent,
        connection::{Connection, Row},
        rows,
        sql::Template,
        statements::PrefixRange,
    },
};

/// The statements that read somebody's events: all of them, those that tell of an end, and logins. That of ends has the words of the
/// index that it reads.
macro_rules! events_of {
    ($filter:expr, $whose:literal) => {{
        const ALL: &Template = &Template::new(concat!(
            "SELECT {event_columns} FROM events WHERE ",
            $whose,
            " AND at <= $2 AND (at < $2 OR id < $3) ORDER BY at DESC, id DESC LIMIT $4"
        ));
        const ENDS: &Template = &Template::new(concat!(
            "SELECT {event_columns} FROM events WHERE {tells_of_end} AND ",
            $whose,
            " AND at <= $2 AND (at < $2 OR id < $3) ORDER BY at DESC, id DESC LIMIT $4"
        ));
        const LOGINS: &Template = &Template::new(concat!(
            "SELECT {event_columns} FROM events WHERE kind = 'login' AND outcome = 'ok' AND ",
            $whose,
            " AND at <= $2 AND (at < $2 OR id < $3) ORDER BY at DESC, id DESC LIMIT $4"
        ));
        match $filter {
            EventFilter::All => ALL,
            EventFilter::Ends => ENDS,
            EventFilter::Logins => LOGINS,
        }
    }};
}

impl Connection<'_> {
    pub(in crate::store) async fn record_events(&mut self, events: &[Event], replica: &str) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for event in events {
            transaction.connection().record_event(event, replica).await?;
        }
        transaction.commit().await
    }

    pub(in crate::store) async fn record_event(&mut self, event: &Event, replica: &str) -> Result<(), StoreError> {
        self.query(
            "INSERT INTO events (at, kind, grant_id, session, subject, who, outcome, reason, code, duration, \
             rotated, replica, detail, issuer, username, actor_issuer, actor_subject, actor_session) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        )
        .bind(event.at.0)
        .bind(event.kind.as_str())
        .bind(&event.grant.0[..])
        .bind(event.session.as_ref())
        .bind(&event.subject)
        .bind(&event.who)
        .bind(&event.outcome)
        .bind(&event.reason)
        .bind(event.code.as_ref())
        .bind(event.duration.map(millis))
        .bind(event.rotated)
        .bind(replica)
        .bind(event.detail.as_ref())
        .bind(&event.issuer)
        .bind(event.username.as_ref())
        .bind(event.actor_issuer.as_ref())
        .bind(event.actor_subject.as_ref())
        .bind(event.actor_session.as_ref())
        .execute()
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn events(
        &mut self,
        of: &EventsOf,
        filter: EventFilter,
        after: EventPlace,
        most: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (mut found, mut after) = (Vec::new(), Some(after));
        // Again where some of them are of kinds that a newer release writes, and were left out.
        while let Some(EventPlace { at, id }) = after.filter(|_| found.len() < most) {
            let limit = most - found.len();
            let rows = {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let query = match of {
                    EventsOf::User { subject, .. } => {
                        self.query(events_of!(filter, "subject = $1 AND ($5 = '' OR issuer = $5 OR issuer = '')")).bind(subject)
                    }
                    EventsOf::Grant(grant) => self.query(events_of!(filter, "grant_id = $1")).bind(&grant.0[..]),
                    EventsOf::Session(session) => self.query(events_of!(filter, "session = $1")).bind(session),
                };
                let query = query.bind(at.0).bind(id).bind(limit);
                match of {
                    EventsOf::User { issuer, .. } => query.bind(issuer),
                    EventsOf::Grant(_) | EventsOf::Session(_) => query,
                }
                .fetch_all()
                .await?
            };
            after = match rows.last().filter(|_| rows.len() >= limit) {
                Some(last) => Some(EventPlace { at: Timestamp(last.get("at")?), id: last.get("id")? }),
                None => None,
            };
            found.extend(events_of(&rows)?);
        }
        Ok(found)
    }

    pub(in crate::store) async fn event_users(&mut self, name: &str) -> Result<Vec<(String, String)>, StoreError> {
        // Each row finds the next one in the index, so that a user costs the same however many events there are of them.
        const BY_NAME: &Template = &Template::new(
            "WITH RECURSIVE found (n, subject, issuer) AS (SELECT 0, '', '' UNION ALL \
             SELECT found.n + 1, next.subject, next.issuer FROM found JOIN events AS next ON next.id = \
             (SELECT id FROM events WHERE lower(who{bytes}) = $1 AND (subject, issuer) > (found.subject, found.issuer) \
             ORDER BY subject, issuer LIMIT 1) WHERE found.n < 64) SELECT subject, issuer FROM found WHERE n > 0",
        );
        const BY_USERNAME: &Template = &Template::new(
            "WITH RECURSIVE found (n, subject, issuer) AS (SELECT 0, '', '' UNION ALL \
             SELECT found.n + 1, next.subject, next.issuer FROM found JOIN events AS next ON next.id = \
             (SELECT id FROM events WHERE lower(username{bytes}) = $1 AND (subject, issuer) > (found.subject, found.issuer) \
             ORDER BY subject, issuer LIMIT 1) WHERE found.n < 64) SELECT subject, issuer FROM found WHERE n > 0",
        );
        let mut found = Vec::new();
        let key = name.to_ascii_lowercase();
        for sql in [BY_NAME, BY_USERNAME] {
            for row in self.query(sql).bind(&key).fetch_all().await? {
                found.push((row.get("issuer")?, row.get("subject")?));
            }
        }
        let by_subject = "SELECT subject FROM events WHERE subject = $1 LIMIT 1";
        if self.query(by_subject).bind(name).fetch_optional().await?.is_some() {
            found.push((String::new(), name.to_owned()));
        }
        Ok(found)
    }

    pub(in crate::store) async fn event_sessions(&mut self, range: &PrefixRange) -> Result<Vec<(String, GrantId)>, StoreError> {
        // Of digits of one length, each collation has the same order.
        let short = |bytes: &[u8]| hex(bytes.get(..4).unwrap_or(bytes));
        let rows = self
            .query(
                "SELECT DISTINCT session, grant_id FROM events WHERE session >= $1 AND session <= $2 ORDER BY session LIMIT 64",
            )
            .bind(short(&range.first))
            .bind(short(&range.last))
            .fetch_all()
            .await?;
        rows.iter().map(|row| Ok((row.get("session")?, rows::grant_from(row.get("grant_id")?)?))).collect()
    }

    pub(in crate::store) async fn event_grants(&mut self, range: &PrefixRange) -> Result<Vec<GrantId>, StoreError> {
        let head = |bytes: &[u8]| bytes.get(..16).unwrap_or(bytes).to_vec();
        let rows = self
            .query(
                "WITH RECURSIVE found (n, grant_id) AS (SELECT 1, (SELECT grant_id FROM events WHERE grant_id >= $1 \
                 AND grant_id <= $2 ORDER BY grant_id LIMIT 1) UNION ALL SELECT n + 1, (SELECT grant_id FROM events \
                 WHERE grant_id > found.grant_id AND grant_id <= $2 ORDER BY grant_id LIMIT 1) FROM found \
                 WHERE found.grant_id IS NOT NULL AND n < 64) SELECT grant_id FROM found WHERE grant_id IS NOT NULL",
            )
            .bind(head(&range.first))
            .bind(head(&range.last))
            .fetch_all()
            .await?;
        rows.iter().map(|row| rows::grant_from(row.get("grant_id")?)).collect()
    }

    /// The newest token refresh at a provider since a time.
    pub(in crate::store) async fn recent_renewals(
        &mut self,
        issuer: &str,
        since: Timestamp,
        most: i64,
    ) -> Result<Vec<RecentRenewal>, StoreError> {
        // By the index of times, backwards: where there are many events, there are many token refreshes among them.
        const SQL: &Template = &Template::new(
            "SELECT {event_columns}, \
             EXISTS (SELECT 1 FROM grants WHERE id = events.grant_id AND refused_code IS NULL) AS is_unrefused \
             FROM events WHERE at >= $2 AND kind = 'renewal' AND issuer = $1 ORDER BY at DESC, id DESC LIMIT $3",
        );
        let rows = self.query(SQL).bind(issuer).bind(since.0).bind(most).fetch_all().await?;
        let events = events_of(&rows)?.into_iter().map(|stored| stored.event);
        events.zip(&rows).map(|(event, row)| Ok(RecentRenewal { event, is_unrefused: row.get("is_unrefused")? })).collect()
    }

    /// What administrators did, which has an index of its own.
    pub(in crate::store) async fn events_of_administrators(
        &mut self,
        after: EventPlace,
        most: usize,
    ) -> Result<EventPart, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT {event_columns} FROM events WHERE kind = 'administration' AND at <= $1 AND (at < $1 OR id < $2) \
             ORDER BY at DESC, id DESC LIMIT $3",
        );
        // One more tells whether there is another part.
        let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let rows = self.query(SQL).bind(after.at.0).bind(after.id).bind(limit).fetch_all().await?;
        Ok(EventPart::of(events_of(&rows)?, most))
    }
}

/// Reads events, each with the replica that wrote it.
fn events_of(rows: &[Row]) -> Result<Vec<StoredEvent>, StoreError> {
    // A newer replica may write kinds of events that this one does not know.
    let known = rows.iter().filter_map(|row| match row.get::<&str>("kind") {
        Ok(text) => Kind::parse(text).map(|kind| Ok((kind, row))),
        Err(error) => Some(Err(StoreError::from(error))),
    });
    known
        .map(|known| {
            let (kind, row) = known?;
            let event = Event {
                at: Timestamp(row.get("at")?),
                kind,
                grant: rows::grant_from(row.get("grant_id")?)?,
                session: row.get("session")?,
                issuer: row.get("issuer")?,
                subject: row.get("subject")?,
                username: row.get("username")?,
                who: row.get("who")?,
                outcome: row.get("outcome")?,
                reason: row.get("reason")?,
                code: row.get("code")?,
                duration: row.get::<Option<i64>>("duration")?.map(rows::duration),
                rotated: row.get("rotated")?,
                detail: row.get("detail")?,
                actor_issuer: row.get("actor_issuer")?,
                actor_subject: row.get("actor_subject")?,
                actor_session: row.get("actor_session")?,
            };
            Ok(StoredEvent { id: row.get("id")?, event, replica: row.get("replica")? })
        })
        .collect()
}
