# The app in a container:
#   docker build -t moescope . && docker run --rm -p 8501:8501 moescope
# then open http://localhost:8501. Visitors who type another name need it allowed:
#   docker run --rm -p 8501:8501 -e STREAMLIT_SERVER_ALLOWED_HOSTS="localhost NAME" moescope
FROM python:3.12-slim

WORKDIR /src
COPY pyproject.toml README.md LICENSE app.py ./
COPY .streamlit/config.toml .streamlit/config.toml
COPY moe moe
RUN pip install --no-cache-dir . && rm -rf /src/*

RUN useradd --create-home moe
USER moe
WORKDIR /home/moe
# As the user who will run them: the kernels are kept in that user's cache. They fit the processor
# of the machine that builds; another one compiles its own at the first start.
RUN moe warm

EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://localhost:8501/_stcore/health', timeout=3)"]
CMD ["moe", "app", "--no-browser", "--address", "0.0.0.0", "--port", "8501"]
