//! Connections to a Valkey: one server, one that sentinels name, or a cluster.

use crate::{
    config::{StateConfig, ValkeyLayout, ValkeyUrl},
    store::StoreError,
};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, ScriptInvocation, TlsCertificates, TlsMode,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use std::{fs, time::Duration};

/// How to connect.
pub(super) struct Connector {
    url: ValkeyUrl,
    password: Option<String>,
    /// PEM.
    certificates: Option<Vec<u8>>,
    timeout: Duration,
}

/// A connection. A clone is the same one: calls on it do not wait for each other.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connector {
    pub(super) fn new(url: &ValkeyUrl, config: &StateConfig) -> Result<Self, StoreError> {
        let read = |path: &std::path::PathBuf| {
            fs::read(path)
                .map_err(|error| StoreError::Unreachable(url.to_string(), format!("{}: {error}", path.display())))
        };
        Ok(Self {
            url: url.clone(),
            password: config.password.as_ref().map(|password| password.reveal().to_owned()),
            certificates: config.ca_file.as_ref().map(read).transpose()?,
            timeout: config.timeout,
        })
    }

    /// Connects. A call on what comes back takes `patience` longer than another at most.
    pub(super) async fn connect(&self, patience: Duration) -> RedisResult<Connection> {
        let answer = self.timeout + patience;
        match &self.url.layout {
            ValkeyLayout::Single => {
                let server = self.servers()?.into_iter().next();
                let server =
                    server.ok_or_else(|| RedisError::from((redis::ErrorKind::InvalidClientConfig, "no host")))?;
                let client = match self.tls() {
                    Some(certificates) => Client::build_with_tls(server, certificates)?,
                    None => Client::open(server)?,
                };
                let limits = self.limits(answer);
                let connection = client.get_multiplexed_async_connection_with_config(&limits);
                connection.await.map(Connection::One)
            }
            ValkeyLayout::Sentinel(primary) => {
                let sentinels = self.addresses();
                let mut builder = SentinelClientBuilder::new(sentinels, primary.clone(), SentinelServerType::Master)?;
                builder = builder.set_client_to_redis_db(self.url.database);
                if let Some(user) = &self.url.user {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = &self.password {
                    builder = builder.set_client_to_redis_password(password);
                }
                if self.url.tls {
                    builder = builder
                        .set_client_to_redis_tls_mode(TlsMode::Secure)
                        .set_client_to_sentinel_tls_mode(TlsMode::Secure);
                }
                if let Some(certificates) = self.tls() {
                    builder = builder
                        .set_client_to_redis_certificates(certificates.clone())
                        .set_client_to_sentinel_certificates(certificates);
                }
                let mut client = builder.build()?;
                let limits = self.limits(answer);
                let connection = client.get_async_connection_with_config(&limits);
                connection.await.map(Connection::One)
            }
            ValkeyLayout::Cluster => {
                let mut builder = ClusterClient::builder(self.servers()?)
                    .connection_timeout(self.timeout)
                    .response_timeout(answer)
                    .retries(1);
                if let Some(certificates) = self.tls() {
                    builder = builder.certs(certificates);
                }
                let client = builder.build()?;
                client.get_async_connection().await.map(Connection::Cluster)
            }
        }
    }

    fn limits(&self, answer: Duration) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(answer))
    }

    fn tls(&self) -> Option<TlsCertificates> {
        let root_cert = self.certificates.clone().filter(|_| self.url.tls)?;
        Some(TlsCertificates {
            client_tls: None,
            root_cert: Some(root_cert),
        })
    }

    fn addresses(&self) -> Vec<ConnectionAddr> {
        let hosts = self.url.hosts.iter().cloned();
        let address = |(host, port)| match self.url.tls {
            true => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            false => ConnectionAddr::Tcp(host, port),
        };
        hosts.map(address).collect()
    }

    fn servers(&self) -> RedisResult<Vec<ConnectionInfo>> {
        let mut settings = RedisConnectionInfo::default().set_db(self.url.database);
        if let Some(user) = &self.url.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let addresses = self.addresses().into_iter();
        let server = |address: ConnectionAddr| Ok(address.into_connection_info()?.set_redis_settings(settings.clone()));
        addresses.map(server).collect()
    }
}

impl Connection {
    pub(super) async fn call<T: FromRedisValue>(&self, call: &Cmd) -> RedisResult<T> {
        match self.clone() {
            Self::One(mut connection) => call.query_async(&mut connection).await,
            Self::Cluster(mut connection) => call.query_async(&mut connection).await,
        }
    }

    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> RedisResult<T> {
        match self.clone() {
            Self::One(mut connection) => script.invoke_async(&mut connection).await,
            Self::Cluster(mut connection) => script.invoke_async(&mut connection).await,
        }
    }
}
