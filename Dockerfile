# pgfanout's four programs on Debian 12, run by a user who owns nothing.
# The same image serves as API (the default), consumer, migration and reset: see docker-compose.yml.

FROM debian:12 AS build
WORKDIR /src
COPY tests/deps.sh tests/deps.sh
RUN tests/deps.sh build && rm -rf /var/lib/apt/lists/*
COPY . .
RUN make -j"$(nproc)" && make install DESTDIR=/out PREFIX=/usr && strip /out/usr/bin/*

FROM debian:12-slim
RUN apt-get update \
	&& apt-get install -y --no-install-recommends \
		ca-certificates libjansson4 libmicrohttpd12 libpq5 librabbitmq4 libuuid1 \
	&& rm -rf /var/lib/apt/lists/* \
	&& useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pgfanout
COPY --from=build /out/usr/ /usr/
USER pgfanout
WORKDIR /
ENV HOST=0.0.0.0 CONSUMER_HOST=0.0.0.0
EXPOSE 8000 8080
STOPSIGNAL SIGTERM
CMD ["pgfanout-api"]
