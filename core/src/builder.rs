//! Settings of a node, its handlers among them.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::driver::busy_poll;
use crate::driver::runtime::{Connector, Runtime};
use crate::error::ConfigError;
use crate::grid::GridState;
use crate::handle::{Context, Grid, Input, Output, Parts, Service};
use crate::limits::Limits;
use crate::node::{Node, is_secure};
use crate::payload::Body;
use crate::rng::Rng;
use crate::route::{ClientStream, RouteInfo, RouteTable, ServerStream, TwoWay, Unary};
use crate::timings::Timings;

/// Settings of a node. Errors of the `serve` methods are kept and told by [`Builder::build`].
///
/// Required are only the name, given to [`Grid::builder`], and [`Self::auth`]. The first page of
/// `gridmux-tokio` shows a whole node.
///
/// ```
/// use std::time::Duration;
///
/// use gridmux_core::auth::SharedSecret;
/// use gridmux_core::builder::{BuildError, Builder};
/// use gridmux_core::driver::runtime::Runtime;
/// use gridmux_core::handle::Grid;
/// use gridmux_core::limits::Limits;
/// use gridmux_core::route::Unary;
/// use gridmux_core::timings::Timings;
///
/// const ADD: Unary<(u32, u32), u32> = Unary::new(1, "add");
///
/// // `R` is `gridmux_tokio::Tokio` or `gridmux_smol::Smol`.
/// async fn node<R: Runtime + Default>(secret: SharedSecret) -> Result<Grid<R>, BuildError> {
///     Grid::builder("http://10.0.0.1:9000")
///         .peers(["http://10.0.0.2:9000", "http://10.0.0.3:9000"])
///         .auth(secret)
///         .limits(Limits { queued_bytes: 4 << 20, ..Limits::default() })
///         .timings(Timings { default_deadline: Duration::from_secs(5), ..Timings::default() })
///         .serve_inline(ADD, |(a, b), _| a.checked_add(b).ok_or("too large"))
///         .bind("0.0.0.0:9000")
///         .await
/// }
/// ```
pub struct Builder<R: Runtime> {
    runtime: R,
    name: String,
    peers: Vec<String>,
    auth: Option<Arc<dyn Auth>>,
    http_route: Option<String>,
    limits: Limits,
    timings: Timings,
    routes: RouteTable,
    services: Vec<Service<R>>,
    connector: Option<Arc<dyn Connector>>,
    busy_polling: busy_poll::Policy,
    seed: Option<u64>,
    first_generation: u32,
    instance: Option<[u8; 16]>,
    gate: bool,
    error: Option<ConfigError>,
}

impl<R: Runtime> std::fmt::Debug for Builder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a node could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No authentication was chosen; [`crate::auth::SharedSecret`] is the ready-made one.
    #[error("no authentication was set")]
    NoAuth,
    /// The runtime cannot run anything, or gives no random bytes.
    #[error("the runtime: {0}")]
    Runtime(#[source] io::Error),
    /// The address to listen on is malformed or taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as given.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

impl<R: Runtime> Builder<R> {
    pub(crate) fn new(runtime: R, name: String) -> Self {
        Self {
            runtime,
            name,
            peers: Vec::new(),
            auth: None,
            http_route: None,
            limits: Limits::default(),
            timings: Timings::default(),
            routes: RouteTable::new(),
            services: Vec::new(),
            connector: None,
            busy_polling: busy_poll::Policy::default(),
            seed: None,
            first_generation: 0,
            instance: None,
            gate: false,
            error: None,
        }
    }

    /// The other nodes, by name. The own name may be among them, so that every node can be given
    /// the same list; it is added if it is not. Each is a base URL, `http://host:port` or
    /// `https://host:port`, and all nodes must write it the same way;
    /// [`check_name`](crate::node::check_name) says what a name may be.
    ///
    /// A name with `https://`, the own one included, needs a [`connector`](Self::connector).
    #[must_use]
    pub fn peers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.peers.extend(names.into_iter().map(Into::into));
        self
    }

    /// How nodes prove that they belong together. Required; all nodes need the same.
    #[must_use]
    pub fn auth(mut self, auth: impl Auth) -> Self {
        self.auth = Some(Arc::new(auth));
        self
    }

    /// The HTTP route of the upgrade; `/minio/grid/v1` unless set. It begins with `/`, and all
    /// nodes need the same.
    #[must_use]
    pub fn http_route(mut self, route: impl Into<String>) -> Self {
        self.http_route = Some(route.into());
        self
    }

    /// How much of everything is accepted.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The protocol's durations.
    #[must_use]
    pub fn timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// How connections to peers are opened, TLS among it; plain TCP to the name's host and port
    /// unless set.
    ///
    /// Without one, names with `https://` are refused
    /// ([`TlsWithoutConnector`](ConfigError::TlsWithoutConnector)): plain TCP would send the token
    /// unencrypted. Where something else does TLS for this node, such as a proxy beside it, set the
    /// runtime's `TcpConnector` here. Incoming connections are not the connector's business:
    /// [`Self::bind`] takes plain TCP, which a proxy may have decrypted; for TLS of one's own there is
    /// [`Grid::listen_on`].
    #[must_use]
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// Up to how long a link's task stays awake instead of sleeping, where its last wait was shorter
    /// than that. It gives way to other tasks meanwhile: to put a thread to sleep and to wake it takes
    /// longer than a short wait.
    ///
    /// Unless set, 50 µs, and only on links so busy that several messages share a frame, or that several
    /// calls were open at a time lately and the last 8 waits were all so short, or on a runtime that
    /// [is slow to wake](Runtime::is_slow_to_wake). A duration set here is for one call at a time, too: one
    /// that is well over a round trip makes calls to another process that follow each other faster, and
    /// takes all of a thread's time while they do. Where waking is slow, a wait that the task has
    /// slept through counts 50 µs less. Zero turns it off; at most 10 ms, which [`Self::build`] checks.
    #[must_use]
    pub fn busy_poll(mut self, longest: Duration) -> Self {
        match busy_poll::Policy::up_to(longest) {
            Ok(policy) => self.busy_polling = policy,
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Where everything random comes from; the system unless set. For tests.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the generations of mux ids, their upper half, begin (PROTOCOL.md section 7.1); 0
    /// unless set. For tests.
    #[must_use]
    pub const fn first_generation(mut self, generation: u32) -> Self {
        self.first_generation = generation;
        self
    }

    /// The instance id, which must differ for every process; random unless set. For tests.
    #[must_use]
    pub const fn instance(mut self, instance: [u8; 16]) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Leaves the start gate closed until [`Grid::start`]: the node does not dial, and answers
    /// upgrades with 503 (PROTOCOL.md section 7.12).
    #[must_use]
    pub const fn start_gate(mut self) -> Self {
        self.gate = true;
        self
    }

    /// Serves single requests, each on a task of its own. The handler's error is anything that
    /// displays: its text crosses the wire, and the caller gets it as
    /// [`CallError::Remote`](crate::error::CallError::Remote). A panic becomes such an error, too.
    ///
    /// A handler that calls other nodes gets them from its [`Context`], or from a
    /// [`WeakGrid`](crate::handle::WeakGrid). The node holds its handlers: one that holds a [`Grid`] of
    /// this node keeps the node alive until [`Grid::shutdown`], though all other handles are dropped.
    ///
    /// When the call is cancelled, the handler is polled once more and dropped, unless its route
    /// says [`run_to_end`](Unary::run_to_end); see [`Context::cancelled`].
    ///
    /// ```
    /// # use gridmux_core::{builder::Builder, driver::runtime::Runtime, route::Unary};
    /// const HALF: Unary<u32, u32> = Unary::new(1, "half");
    ///
    /// # fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    /// builder.serve(HALF, |number, _context| async move {
    ///     if number % 2 == 0 { Ok(number / 2) } else { Err(format!("{number} is odd")) }
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn serve<Req, Res, E, F, Fut>(self, route: Unary<Req, Res>, handler: F) -> Self
    where
        Req: Body + 'static,
        Res: Body + 'static,
        E: Display + 'static,
        F: Fn(Req, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Res, E>> + Send + 'static,
    {
        self.add(route.info(), crate::handle::unary(handler))
    }

    /// Serves single requests with a plain function that runs on the link's own task: for what is
    /// quick and never blocks. A slow one delays everything on its link, and is warned of once if
    /// it takes more than 1 ms. It is never cancelled. Errors and panics are as with
    /// [`Self::serve`].
    ///
    /// ```
    /// # use gridmux_core::{builder::Builder, driver::runtime::Runtime, route::Unary};
    /// const UPPER: Unary<String, String> = Unary::new(1, "upper");
    ///
    /// # fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    /// builder.serve_inline(UPPER, |text, _context| Ok::<_, String>(text.to_uppercase()))
    /// # }
    /// ```
    #[must_use]
    pub fn serve_inline<Req, Res, E, F>(self, route: Unary<Req, Res>, handler: F) -> Self
    where
        Req: Body + 'static,
        Res: Body + 'static,
        E: Display + 'static,
        F: Fn(Req, &Context) -> Result<Res, E> + Send + Sync + 'static,
    {
        self.add(route.info(), crate::handle::inline(handler))
    }

    /// Serves streams without input. The handler's return value is the end, after all it sent;
    /// errors, panics and cancellation are as with [`Self::serve`].
    ///
    /// ```
    /// # use gridmux_core::{builder::Builder, driver::runtime::Runtime, route::ServerStream};
    /// use gridmux_core::error::CallError;
    ///
    /// const COUNT: ServerStream<u32, u32> = ServerStream::new(2, "count");
    ///
    /// # fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    /// builder.serve_stream(COUNT, |to, mut output, _context| async move {
    ///     for number in 1..=to {
    ///         output.send(number).await?;
    ///     }
    ///     Ok::<_, CallError>(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn serve_stream<Req, Item, E, F, Fut>(
        self,
        route: ServerStream<Req, Item>,
        handler: F,
    ) -> Self
    where
        Req: Body + 'static,
        Item: Body + 'static,
        E: Display + 'static,
        F: Fn(Req, Output<Item>, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.add(route.info(), crate::handle::server_stream(handler))
    }

    /// Serves streams with input and one result, which the handler returns; it may do so before
    /// the input's end. Errors, panics and cancellation are as with [`Self::serve`].
    ///
    /// ```
    /// # use gridmux_core::{builder::Builder, driver::runtime::Runtime, route::ClientStream};
    /// use gridmux_core::handle::InputError;
    /// use gridmux_core::payload::NoPayload;
    ///
    /// const SUM: ClientStream<NoPayload, u32, u64> = ClientStream::new(3, "sum");
    ///
    /// # fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    /// builder.serve_input(SUM, |_, mut input, _context| async move {
    ///     let mut sum = 0;
    ///     while let Some(number) = input.try_next().await? {
    ///         sum += u64::from(number);
    ///     }
    ///     Ok::<_, InputError>(sum)
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn serve_input<Req, In, Res, E, F, Fut>(
        self,
        route: ClientStream<Req, In, Res>,
        handler: F,
    ) -> Self
    where
        Req: Body + 'static,
        In: Body + 'static,
        Res: Body + Send + 'static,
        E: Display + 'static,
        F: Fn(Req, Input<In>, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Res, E>> + Send + 'static,
    {
        self.add(route.info(), crate::handle::client_stream(handler))
    }

    /// Serves streams with input and output. The handler's return value is the end, after all it
    /// sent; errors, panics and cancellation are as with [`Self::serve`].
    ///
    /// ```
    /// # use gridmux_core::{builder::Builder, driver::runtime::Runtime, route::TwoWay};
    /// use gridmux_core::payload::{NoPayload, Payload};
    ///
    /// const ECHO: TwoWay<NoPayload, Payload, Payload> = TwoWay::new(4, "echo");
    ///
    /// # fn serve<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    /// builder.serve_two_way(ECHO, |_, mut input, mut output, _context| async move {
    ///     while let Some(item) = input.try_next().await.map_err(|error| error.to_string())? {
    ///         output.send(item).await.map_err(|error| error.to_string())?;
    ///     }
    ///     Ok::<_, String>(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn serve_two_way<Req, In, Out, E, F, Fut>(
        self,
        route: TwoWay<Req, In, Out>,
        handler: F,
    ) -> Self
    where
        Req: Body + 'static,
        In: Body + 'static,
        Out: Body + 'static,
        E: Display + 'static,
        F: Fn(Req, Input<In>, Output<Out>, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.add(route.info(), crate::handle::two_way(handler))
    }

    fn add(mut self, route: RouteInfo, service: Service<R>) -> Self {
        match self.routes.insert(route) {
            Ok(_) => self.services.push(service),
            Err(error) => {
                self.error.get_or_insert(error.into());
            }
        }
        self
    }

    /// Starts the node without listening: connections are given to [`Grid::accept`] or
    /// [`Grid::accept_upgraded`], or the node only dials.
    ///
    /// # Errors
    /// [`BuildError`] names what cannot work.
    pub fn build(self) -> Result<Grid<R>, BuildError> {
        let gate = self.gate;
        let grid = Grid::run(self.check()?);
        if !gate {
            grid.start();
        }
        Ok(grid)
    }

    /// Everything that can be checked without doing anything.
    fn check(self) -> Result<Parts<R>, BuildError> {
        if let Some(error) = self.error {
            return Err(error.into());
        }
        self.runtime.check().map_err(BuildError::Runtime)?;
        let auth = self.auth.ok_or(BuildError::NoAuth)?;
        let random = self.runtime.random().map_err(BuildError::Runtime)?;
        let (low, high) = random.split_at(8);
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, b| word << 8 | u64::from(*b));
        let mut seeds =
            Rng::new(self.seed.unwrap_or_else(|| word(low) ^ word(high).rotate_left(32)));
        let instance = self.instance.unwrap_or_else(|| match self.seed {
            Some(_) => {
                let words = [seeds.next_u64().to_le_bytes(), seeds.next_u64().to_le_bytes()];
                let mut id = [0; 16];
                id.copy_from_slice(words.as_flattened());
                id
            }
            None => self.runtime.random().unwrap_or(random),
        });
        let mut node = Node::new(self.name.clone(), instance, auth);
        node.routes = self.routes;
        node.limits = self.limits;
        node.timings = self.timings;
        if let Some(route) = self.http_route {
            node.http_route = route;
        }
        let mut names = self.peers;
        if !names.contains(&self.name) {
            names.push(self.name);
        }
        let now = self.runtime.instant();
        let first_generation = self.first_generation;
        let state =
            GridState::new(Arc::new(node), &names, seeds.next_u64(), first_generation, now)?;
        let tls = names.iter().find(|name| is_secure(name)).filter(|_| self.connector.is_none());
        if let Some(name) = tls {
            return Err(ConfigError::TlsWithoutConnector(name.clone()).into());
        }
        let plain = self.connector.is_none();
        let connector = self.connector.unwrap_or_else(|| self.runtime.connector().into());
        let services = Arc::new(self.services);
        let busy_polling = match self.runtime.is_slow_to_wake() {
            true => self.busy_polling.where_waking_is_slow(),
            false => self.busy_polling,
        };
        Ok(Parts {
            runtime: self.runtime,
            state,
            services,
            connector,
            plain,
            busy_polling,
            seeds,
            first_generation,
        })
    }

    /// Starts the node, listening on `address` (`host:port`; port 0 lets the system choose). A
    /// host's name is looked up on this thread, which blocks meanwhile; an IP address needs none.
    /// It listens only once everything else is known to be good.
    ///
    /// # Cancel safety
    /// It never waits: its first poll is its last.
    ///
    /// # Errors
    /// [`BuildError`] names what cannot work.
    pub async fn bind(self, address: &str) -> Result<Grid<R>, BuildError> {
        let gate = self.gate;
        let parts = self.check()?;
        let failed = |source| BuildError::Listen { address: address.into(), source };
        let listener = parts.runtime.bind(address).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let grid = Grid::run(parts);
        grid.listen_at(listener, local);
        if !gate {
            grid.start();
        }
        Ok(grid)
    }
}
