# All of Gatepost's processes in one image; the command chooses which.
ARG BUILD_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bins

FROM ${RUNTIME_IMAGE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --no-create-home --shell /usr/sbin/nologin gatepost
COPY --from=build /build/target/release/gateway /build/target/release/deliver \
     /build/target/release/notify /build/target/release/sweep /usr/local/bin/
USER gatepost
