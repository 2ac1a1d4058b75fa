# The app in a container; docs/deploy.md says how to run one in public.
#   docker build -t moescope . && docker run --rm -p 8501:8501 moescope
# then open http://localhost:8501. Visitors who type another name need it allowed:
#   docker run --rm -p 8501:8501 -e STREAMLIT_SERVER_ALLOWED_HOSTS="localhost NAME" moescope

# To pin the image: --build-arg BASE=python:3.12-slim@sha256:...
ARG BASE=python:3.12-slim
FROM ${BASE}

# The processor that kernels are compiled for, by LLVM's name, and its vectors in bytes. Haswell has
# AVX2, which servers since 2015 have. For others: skylake-avx512 and 64, neoverse-n1 and 16.
ARG PROCESSOR=haswell
ARG VECTOR_BYTES=32

LABEL org.opencontainers.image.title="MoEscope" \
      org.opencontainers.image.description="Watch a mixture of experts learn, collapse and be repaired" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"

# Dependencies first: this layer stays while only the program changes.
WORKDIR /src
COPY pyproject.toml ./
RUN python -c "import tomllib; \
print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt && pip install --no-cache-dir -r requirements.txt

COPY README.md LICENSE app.py ./
COPY .streamlit/config.toml .streamlit/config.toml
COPY moe moe
RUN pip install --no-cache-dir --no-deps .

# Kernels are compiled now, into a folder that nobody writes to later, for the processor named
# above: the same settings hold when they run, so any machine of that kind finds them.
ENV NUMBA_CPU_NAME=${PROCESSOR} \
    MOE_VECTOR_BYTES=${VECTOR_BYTES} \
    NUMBA_CACHE_DIR=/opt/moescope/kernels \
    MOE_APP_LOG=json \
    HOME=/tmp
WORKDIR /opt/moescope
RUN moe warm

# By number, so that a platform can see that it is not root. It owns no file here.
USER 10001:10001
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://localhost:8501/healthz', timeout=4)"]
CMD ["moe", "app", "--no-browser", "--address", "0.0.0.0", "--port", "8501"]
