//! Statements on the history.

use crate::{
    clock::{Timestamp, millis},
    grant::GrantId,
    history::{Event, Kind},
    store::{
        AuditPart, EventPlace, StoreError,
        connection::{Connection, Row},
        rows,
    },
};

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
             rotated, replica, detail) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
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
        .execute()
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn events(
        &mut self,
        name: &str,
        grant: Option<GrantId>,
        limit: i64,
    ) -> Result<Vec<(Event, String)>, StoreError> {
        let rows = self
            .query(
                "SELECT at, kind, grant_id, session, subject, who, outcome, reason, code, duration, rotated, detail, \
                 replica FROM events \
                 WHERE who = $1 OR subject = $1 OR session = $1 OR grant_id = $2 ORDER BY at DESC, id DESC LIMIT $3",
            )
            .bind(name)
            .bind(grant.map(|grant| grant.0.to_vec()))
            .bind(limit)
            .fetch_all()
            .await?;
        events_of(&rows)
    }

    /// What administrators did, which has an index of its own.
    pub(in crate::store) async fn events_of_administrators(
        &mut self,
        after: EventPlace,
        most: usize,
    ) -> Result<AuditPart, StoreError> {
        // One more tells whether there is another part.
        let rows = self
            .query(
                "SELECT id, at, kind, grant_id, session, subject, who, outcome, reason, code, duration, rotated, detail, \
                 replica FROM events WHERE kind = 'administration' AND at <= $1 AND (at < $1 OR id < $2) \
                 ORDER BY at DESC, id DESC LIMIT $3",
            )
            .bind(after.at.0)
            .bind(after.id)
            .bind(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1))
            .fetch_all()
            .await?;
        let shown = rows.get(..most).unwrap_or(&rows);
        let next = match shown.last().filter(|_| rows.len() > most) {
            Some(last) => Some(EventPlace { at: Timestamp(last.get("at")?), id: last.get("id")? }),
            None => None,
        };
        Ok(AuditPart { events: events_of(shown)?, next })
    }
}

/// Reads events, each with the replica that wrote it.
fn events_of(rows: &[Row]) -> Result<Vec<(Event, String)>, StoreError> {
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
                subject: row.get("subject")?,
                who: row.get("who")?,
                outcome: row.get("outcome")?,
                reason: row.get("reason")?,
                code: row.get("code")?,
                duration: row.get::<Option<i64>>("duration")?.map(rows::duration),
                rotated: row.get("rotated")?,
                detail: row.get("detail")?,
            };
            Ok((event, row.get("replica")?))
        })
        .collect()
}
