// Keeps the work of a page whose session ends: what meets the end waits until the user is signed in again, and goes on.
//
// What is sent is this without comments and line ends, of 2 KiB at most, which is why names are short, and with the texts of the browser's
// language in place of what is in braces. B is the path of our own pages,
// D what the page says in attributes, F the browser's fetch, U the user, I what tells it first, W what all wait for, N whether the user
// does not want to sign in for now.
(()=>{
let d=document,S=d.currentScript,B=new URL('.',S.src),D=S.dataset,F=fetch,T=EventSource,U,W,N,
A='addEventListener',P='dispatchEvent',Q='setRequestHeader',H='evergate-response',R=['readystatechange','load','loadend'],
C=t=>d.createElement(t),
// V: who is signed in; false is nobody. A network that fails says nothing about the session.
V=()=>F(B+'userinfo').then(async r=>r.ok?(await r.json()).user:r.status!=401&&U,()=>U),
// E: whether a response with this mark from this address is ours, to a request that did not reach the app. Other origins may set it too.
E=(m,a)=>m=='sign_in_required'&&a.startsWith(B.origin+'/'),
// O listens before all others, to what the browser says alone, and keeps it from them where q holds.
O=(x,T,f,q)=>T.map(t=>x[A](t,e=>e.isTrusted&&(!q||q())&&(e.stopImmediatePropagation(),f(t,e)))),
// K waits for the session, once for all who wait. Nothing: the user does not want to sign in now, or was not signed in.
K=()=>W||=(async u=>{
await I;
u=await V();
if(!u&&U&&!N){
let x=C('dialog'),b=C('button'),w;
x.append(x.ariaLabel=D.text||'{ended} ',b);
b.append(D.button||'{sign_in}');
b.onclick=()=>w=open(B+'start?rd='+B+'signed_in');
x.oncancel=()=>N=setTimeout(()=>N=0,6e4);
d.body.append(x);
x.showModal();
for(;!u&&!N;u=await V())await new Promise(y=>setTimeout(y,1500));
x.remove();
w?.close()
}
// The work of one user is not sent as another's.
return u&&(U&&u!=U?new Promise(()=>location.reload()):U=u)
})().finally(()=>W=0),
I=V().then(u=>U=u);
fetch=async(a,o)=>{
let c=a.clone?.()||a,r=await F(a,o);
return E(r.headers.get(H),r.url)&&await K()?F(c,o):r
};
XMLHttpRequest=class extends XMLHttpRequest{
// The page may have given up meanwhile, or have begun another request with it. It is sent again once: from then on it is let be, as
// synchronous ones are.
x=O(this,R,async(t,e,o=this.o)=>t==R[2]&&(t=await K(),o==this.o)&&(t?(
super.open(...o),
o.h.map(h=>super[Q](...h)),
o[2]=!1,
super.send(o.b)
):R.map(t=>this[P](new ProgressEvent(t)))),
()=>this.o[2]!==!1&&E(this.getResponseHeader(H),this.responseURL));
open(...o){o.h=[];super.open(...this.o=o)}
[Q](...h){this.o.h.push(h);super[Q](...h)}
send(b){super.send(this.o.b=b)}
abort(){super.abort(this.o=0)}
};
// A browser does not connect an event stream again that was refused. Another one, s, speaks for it then, by g, of the types t, to which
// the page may add at any time. The same listener again is none to a browser.
EventSource=class extends T{
t={open:1,message:1};
g=e=>this[P](new MessageEvent(e.type,e));
constructor(...a){
super(...a);
let X=this,L=s=>O(s,['error'],async(t,u)=>{
u=s.readyState>1&&!await V()&&await K();
if(!X.c)if(u){
L(s=X.s=new T(...a));
for(t in X.t)s[A](t,X.g)
}else X[P](new Event(t))
});
L(X)
}
[A](t,...r){this.t[t]=1;this.s?.[A](t,this.g);super[A](t,...r)}
close(){super.close(this.c=1);this.s?.close()}
};
// What was said on a WebSocket cannot be said again by whoever does not know it. The page hears of its end when it can open
// another one.
WebSocket=class extends WebSocket{
x=O(this,['error','close'],async(t,e)=>this[P](new e.constructor(t,e,await K())))
}
})()
