//! Statements on the clients that Evergate is and was at providers.

use crate::{
    client_registration::ClientRegistration,
    store::{KnownClient, KnownClients, StoreError, connection::Connection},
};

impl Connection<'_> {
    /// The clients of which starts have been recorded, and which of them have come after one another. Costs the same however many users
    /// there are.
    pub(in crate::store) async fn recorded_clients(&mut self) -> Result<Vec<KnownClient>, StoreError> {
        let recorded = self.query("SELECT issuer, client_id, lineage, is_present FROM clients").fetch_all().await?;
        let read = recorded.iter().map(|row| {
            Ok(KnownClient {
                issuer: row.get("issuer")?,
                client_id: row.get("client_id")?,
                lineage: row.get("lineage")?,
                is_present: row.get("is_present")?,
                locked_out: 0,
            })
        });
        read.collect()
    }

    /// The clients that Evergate is or was, and how many users each has whom a directory has deactivated.
    pub(in crate::store) async fn known_clients(&mut self) -> Result<KnownClients, StoreError> {
        let recorded = self.recorded_clients().await?;
        let counted = self
            .query(
                "SELECT issuer, client_id, SUM(locked_out) AS locked_out FROM \
                 (SELECT issuer, client_id, 0 AS locked_out FROM provider_knowledge UNION ALL \
                 SELECT issuer, client_id, CASE WHEN active THEN 0 ELSE 1 END FROM scim_users) AS known \
                 GROUP BY issuer, client_id ORDER BY issuer, client_id",
            )
            .fetch_all()
            .await?;
        let counted = counted.iter().map(|row| Ok((row.get("issuer")?, row.get("client_id")?, row.get("locked_out")?)));
        Ok(KnownClients::of(recorded, &counted.collect::<Result<Vec<_>, StoreError>>()?))
    }

    /// Records a start with these clients, and returns all that are known then. Starts take turns, so that each knows the one before.
    pub(in crate::store) async fn record_clients(
        &mut self,
        clients: &[ClientRegistration<'_>],
    ) -> Result<KnownClients, StoreError> {
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        if connection.is_postgres() {
            connection.query("SELECT pg_advisory_xact_lock(hashtextextended('clients', 0))").execute().await?;
        }
        connection.lock_file().await?;
        let known = connection.known_clients().await?.after_start(clients);
        for client in known.iter() {
            connection
                .query(
                    "INSERT INTO clients (issuer, client_id, lineage, is_present) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (issuer, client_id) DO UPDATE SET lineage = excluded.lineage, is_present = excluded.is_present",
                )
                .bind(&client.issuer)
                .bind(&client.client_id)
                .bind(&client.lineage)
                .bind(client.is_present)
                .execute()
                .await?;
        }
        drop(connection);
        transaction.commit().await?;
        Ok(known)
    }
}
